# shellcheck shell=bash
# The page that ends ops/demo.

: "${here:?}" "${keep:?}" "${state:?}" "${programs:?}" # from whoever sources this

# show_page TRAINING
show_page() {
    local sockets=$state/run/postgres result
    result=$(trainmaster show "$1" --json | json 'it["result_path"]')
    cat <<PAGE

────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 A sparse autoencoder on the residual stream of SmolLM2-135M
────────────────────────────────────────────────────────────────────────────────────────────────────────────────

$(psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$sockets" --username trainmaster --dbname trainmaster \
        --variable training="$1" --file "$here/demo.sql")

$(steer "$1" | sed 's/^/  /')

The autoencoder: a directory that SAELens loads (SAE.load_from_disk)
$(cd "$result" && printf '  %s\n' "$result" && du --apparent-size -h -- * | sed 's/^/  /')

A report with curves, a histogram and the best features
  $(trainmaster report "$1" --output "$state/report.html" >/dev/null && printf '%s' "$state/report.html")

The log, checked event by event
$(trainmaster log verify | sed 's/^/  /')

Look for yourself$([[ $keep == yes ]] || printf ', while the daemon runs: ops/demo --keep')
  psql -h $sockets -U mistudio trainmaster
    SELECT * FROM trainings;
    SELECT step, loss, sparsity FROM training_metrics WHERE training_id = '$1' ORDER BY step;
  psql -h $sockets -U trainmaster trainmaster
    SELECT version, type, recorded_at, payload FROM log.events WHERE stream_id = '$1' ORDER BY version;
  $programs/trainmaster --state-dir $state events $1
  $programs/trainmaster --state-dir $state feature ls $1
  The queries of this page: ops/demo.sql
PAGE
}
