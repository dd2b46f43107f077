# shellcheck shell=bash
# The page that ends ops/demo.

: "${here:?}" "${keep:?}" "${state:?}" "${programs:?}" # from whoever sources this

# show_page TRAINING
show_page() {
    local sockets=$state/run/postgres result
    result=$(trainmaster show "$1" --json | json 'it["result_path"]')
    cat <<PAGE

────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 A sparse autoencoder on layer 5 of SmolLM2-135M
────────────────────────────────────────────────────────────────────────────────────────────────────────────────

$(psql --no-psqlrc --quiet --host "$sockets" --username trainmaster --dbname trainmaster \
        --variable training="$1" --file "$here/demo.sql")

The autoencoder: a directory that SAELens loads (SAE.load_from_disk)
$(cd "$result" && printf '  %s\n' "$result" && du --apparent-size -h -- * | sed 's/^/  /')

The log, checked event by event
$(trainmaster log verify | sed 's/^/  /')

Look for yourself
  psql -h $sockets -U mistudio trainmaster      the tables that applications read
  psql -h $sockets -U trainmaster trainmaster   the log as well: select * from log.events
  $programs/trainmaster --state-dir $state --help
PAGE
    if [[ $keep == no ]]; then
        printf '  (with ops/demo --keep, which leaves the daemon and its Postgres running)\n'
    fi
}
