# shellcheck shell=bash
# The steps of ops/demo. Each looks first at what is there.

: "${here:?}" "${keep:?}" "${daemon_log:?}" "${programs:?}" "${state:?}" # from whoever sources this

demo_model=SmolLM2-135M
demo_dataset=books
demo_prompt='The most important thing about the house was'
demo_strength=8
watcher='' pauser=''

status_of() {
    trainmaster show "$1" --json | json 'it["status"]'
}

# make_model_ready FILE
make_model_ready() {
    is_on_its_way model "$demo_model" && return
    say "registering the model"
    trainmaster model add "$1" --name "$demo_model" --architecture llama --quantization Q4 --wait >/dev/null
}

# make_dataset_ready DIRECTORY
make_dataset_ready() {
    is_on_its_way dataset "$demo_dataset" && return
    say "registering the books, and tokenising them"
    trainmaster dataset add "$1" --name "$demo_dataset" --tokenizer "$demo_model" --wait >/dev/null
}

# is_on_its_way model|dataset NAME: whether it is registered, and if so waits until it is ready.
is_on_its_way() {
    local found
    found=$(trainmaster "$1" show "$2" --json 2>/dev/null) || return 1
    if [[ $(json 'it["status"]' <<<"$found") == error ]]; then
        say "trying the $1 $2 again"
        trainmaster "$1" retry "$(json 'it["id"]' <<<"$found")" --wait >/dev/null
    fi
    until [[ $(trainmaster "$1" show "$2" --json | json 'it["status"]') == ready ]]; do sleep 0.5; done
}

# The latest training, or a new one when there is none that can be gone on with: latest_training AGAIN
latest_training() {
    local useless="'failed', 'error', 'stopped'" id
    [[ $1 == no ]] || useless+=", 'completed'"
    id=$(trainmaster ls --json | json "[t['id'] for t in it if t['status'] not in ($useless)][:1]")
    [[ -n $id ]] ||
        id=$(trainmaster train --model "$demo_model" --dataset "$demo_dataset" \
            --hyperparameters "$here/demo-training.json" --json | json 'it["id"]')
    printf '%s\n' "$id"
}

is_past_half() {
    [[ $(trainmaster show "$1" --json | json 'it["current_step"] * 2 >= it["total_steps"]') == True ]]
}

# Follows a training to its end or rest; the exit code says which, and is not needed here. In the background, because
# bash attends to signals while it waits, not while a program is in the foreground.
watch() {
    "$programs/trainmaster" --state-dir "$state" watch "$1" >&2 &
    watcher=$!
    wait "$watcher" || true
    watcher=
}

# Asks for a pause as soon as a training is half-way, in the background.
pause_at_half() {
    {
        until is_past_half "$1"; do sleep 0.5; done
        trainmaster pause "$1" >/dev/null
    } &
    pauser=$!
}

# expect_status TRAINING STATUS
expect_status() {
    local status
    status=$(status_of "$1")
    [[ $status == "$2" ]] ||
        fail "The training is $status where it should be $2." \
            "$(trainmaster show "$1" --json | json 'it["error_message"]')" "The daemon's log: $daemon_log"
}

# train_to_the_end TRAINING
train_to_the_end() {
    if [[ $(status_of "$1") == paused ]]; then
        trainmaster resume "$1" >/dev/null
        say "resuming the training $1"
    else
        say "training $1"
    fi
    if ! is_past_half "$1"; then
        pause_at_half "$1"
        watch "$1"
        wait "$pauser" || true
        pauser=
        expect_status "$1" paused
        say "paused half-way, at a checkpoint; stopping the daemon and starting it again"
        stop_daemon
        start_daemon
        trainmaster resume "$1" >/dev/null
        say "resumed"
    fi
    watch "$1"
    expect_status "$1" completed
}

# find_features TRAINING: by an extraction, unless there are some.
find_features() {
    [[ $(trainmaster feature ls "$1" --limit 1 --json | json 'len(it)') == 0 ]] || return 0
    say "looking for its features: which texts make each latent fire"
    "$programs/trainmaster" --state-dir "$state" extract "$1" --max-samples 600 --wait >&2 &
    watcher=$!
    wait "$watcher" || fail "The features were not found." "The daemon's log: $daemon_log"
    watcher=
}

# The text of the page that steers, by the first of the features that it shows: steer TRAINING
steer() {
    local feature
    feature=$(psql --no-psqlrc --quiet --tuples-only --no-align --host "$state/run/postgres" --username trainmaster \
        --dbname trainmaster --variable training="$1" --file "$here/demo-features.sql" | head -1 | cut -d'|' -f1)
    if [[ -z $feature ]]; then
        printf 'No feature was found to steer with.\n'
        return
    fi
    printf 'Steered by feature %s, which %s\n\n' "$feature" \
        "$(trainmaster feature show "$feature" --json | json 'it["name"]')"
    printf '%s …\n\n' "$demo_prompt"
    trainmaster generate --training "$1" --feature "$feature=$demo_strength" --max-tokens 40 --seed 1 "$demo_prompt" 2>&1 |
        grep -v 'Ctrl-C\|being loaded'
}

# What runs would go on without its daemon, as it should in earnest; the demo leaves nothing behind.
pause_what_runs() {
    local id
    for id in $(trainmaster ls --json |
        json "[t['id'] for t in it if t['status'] in ('queued', 'initializing', 'training')]"); do
        say "pausing $id; ops/demo goes on from there"
        trainmaster pause "$id" --wait --timeout 60 >/dev/null
    done
}

leave() {
    local status=$?
    trap - EXIT
    trap '' INT TERM # once is enough
    local companion
    for companion in $watcher $pauser; do
        kill "$companion" 2>/dev/null || true
    done
    if [[ -n $daemon_pid && $keep == yes && $status == 0 ]]; then
        say "the daemon keeps running; this ends it: kill $daemon_pid"
    elif [[ -n $daemon_pid ]]; then
        pause_what_runs || true
        stop_daemon
    fi
    exit "$status"
}
