#!/bin/sh
# Keeps the run contract: trainmaster-trainer run <directory> --lease <n>. What it does is told by files beside the runs:
#   hold-<point>   wait at that point until the file is gone
#   die-<point>    end there by SIGKILL, once
#   mute           no heartbeats
#   deaf           no request is heeded
#   babble         shell commands to begin with
# and points are: start, ready, checkpoint, end.
directory=$2
lease=$4
tests=$(dirname "$directory")
sequence=0
beats=0
progress=0

say() {
    sequence=$((sequence + 1))
    printf '{"lease":%s,"seq":%s,"written_at":"%s",%s}\n' "$lease" "$sequence" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >> "$directory/journal.jsonl"
}

beat() {
    [ -e "$tests/mute" ] && return
    beats=$((beats + 1))
    printf '{"lease":%s,"beat":%s,"progress":%s}' "$lease" "$beats" "$progress" > "$directory/.heartbeat"
    mv "$directory/.heartbeat" "$directory/heartbeat"
}

asked() {
    grep -q "\"lease\":$lease,\"request\":\"$1\"" "$directory/control" 2> /dev/null
}


checkpoint() {
    say "\"record\":\"checkpoint_saved\",\"step\":$1,\"loss\":1.0,\"sparsity\":2.0,\"path\":\"$directory/checkpoints/$1-$lease\",\"file_size_bytes\":1,\"sha256\":\"$1\""
}

pass() {
    [ -e "$tests/die-$1" ] && rm "$tests/die-$1" && kill -KILL $$
    while [ -e "$tests/hold-$1" ]; do
        beat
        if asked pause && [ ! -e "$tests/deaf" ]; then
            checkpoint $((step + 1))
            say "\"record\":\"paused\",\"step\":$((step + 1))"
            exit 0
        fi
        if asked stop && [ ! -e "$tests/deaf" ]; then
            say "\"record\":\"stopped\",\"step\":$step,\"path\":\"$directory/result\",\"sha256\":\"r\""
            exit 0
        fi
        sleep 0.02
    done
    progress=$((progress + 1))
    beat
}

[ -e "$tests/babble" ] && . "$tests/babble"
step=0
say "\"record\":\"started\",\"pid\":$$,\"host\":\"h\",\"trainer_version\":\"0\",\"libtorch_version\":\"0\",\"device\":\"cpu\""
pass start
case $(sed -n 's/.*"kind": "\([a-z_]*\)".*/\1/p' "$directory/spec.json") in
inspect_model)
    pass end
    say '"record":"model_inspected","params_count":1,"memory_required_bytes":1,"disk_size_bytes":1,"architecture_config":{}'
    ;;
prepare_dataset)
    say '"record":"dataset_ingested","num_samples":1,"size_bytes":1'
    pass end
    say '"record":"dataset_tokenized","tokenized_path":"/t","num_tokens":1,"vocab_size":1,"avg_sequence_length":1.0,"num_sequences":1,"sha256":"t"'
    ;;
train)
    step=$(sed -n '/resume_from/,/}/ s/.*"step": \([0-9]*\).*/\1/p' "$directory/spec.json")
    step=${step:-0}
    say "\"record\":\"training_started\",\"at_step\":$step,\"d_in\":4,\"d_sae\":8"
    pass ready
    while [ "$step" -lt 4 ]; do
        step=$((step + 1))
        say "\"record\":\"metrics\",\"steps\":[$step],\"loss\":[1.0],\"sparsity\":[2.0],\"reconstruction_error\":[1.0],\"dead_neurons\":[0],\"explained_variance\":[0.5],\"learning_rate\":[0.1],\"at\":[\"2026-01-01T00:00:00Z\"],\"tokens_per_second\":100.0"
        [ "$step" = 2 ] && checkpoint 2 && pass checkpoint
    done
    pass end
    say "\"record\":\"completed\",\"step\":4,\"path\":\"$directory/result\",\"sha256\":\"r\""
    ;;
esac
