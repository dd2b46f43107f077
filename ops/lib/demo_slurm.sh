# shellcheck shell=bash
# ops/demo --slurm: three folds of a segmentation, as an array of jobs on a private SLURM of four nodes.

: "${here:?}" "${keep:?}" "${again:?}" "${state:?}" "${programs:?}" "${daemon_log:?}" # from whoever sources this

follower=
# SLURM is particular about paths, so it gets a short one of its own.
cluster=$(mktemp -d "${TMPDIR:-/tmp}/trainmaster-slurm.XXXXXX")

start_cluster() {
    say "starting a SLURM of four nodes in $cluster"
    # Each job at the node that has the least to do.
    "$here/slurm/private-cluster" start "$cluster" SelectTypeParameters=CR_Core,CR_LLN
    export SLURM_CONF=$cluster/slurm.conf
    # Somebody is watching.
    export TRAINMASTER_SLURM__POLL_INTERVAL_SECONDS=2 TRAINMASTER_SLURM__LOOK_INTERVAL_SECONDS=1
}

# What is under way goes with the cluster.
stop_what_runs() {
    local id
    for id in $(trainmaster segmentations --json | json \
        "[t['id'] for t in it if t['status'] in ('queued', 'initializing', 'training', 'paused')]"); do
        say "stopping $id"
        trainmaster stop "$id" --wait --timeout 60 >/dev/null
    done
}

leave_slurm() {
    local status=$?
    trap - EXIT
    trap '' INT TERM # once is enough
    [[ -z $follower ]] || kill "$follower" 2>/dev/null || true
    if [[ -n ${daemon_pid:-} && $keep == yes && $status == 0 ]]; then
        say "daemon and cluster keep running; this ends them: kill $daemon_pid; $here/slurm/private-cluster stop $cluster"
        exit 0
    fi
    if [[ -n ${daemon_pid:-} ]]; then
        stop_what_runs || true
        stop_daemon
    fi
    if [[ -e $cluster/slurm.conf ]]; then "$here/slurm/private-cluster" stop "$cluster"; else rm -rf "$cluster"; fi
    exit "$status"
}

# In the background, because bash attends to signals while it waits, not while a program is in the foreground.
follow() {
    "$programs/trainmaster" --state-dir "$state" "$@" >&2 &
    follower=$!
    wait "$follower" || fail "This did not end well: trainmaster $*" "The daemon's log: $daemon_log"
    follower=
}

# The latest cross-validation that is complete; none with --again.
complete_cross_validation() {
    [[ $again == yes ]] ||
        trainmaster cross-validation --json | json "[c['id'] for c in it if c['status'] == 'completed'][:1]"
}

# train_folds IMAGES: answers in $cross_validation.
train_folds() {
    cross_validation=$(trainmaster segment --images "$1/brain/images" --labels "$1/brain/labels" --name brain --folds 3 \
        --on slurm --cpus 1 --steps 150 --batch-size 4 --patch-size 64 --base-channels 8 --depth 2 --set warmupSteps=10 \
        --set logInterval=5 --checkpoint-interval 50 --json | json 'it["id"]')
    say "three folds are one array of jobs: $cross_validation"
    until [[ $(squeue --noheader --states=running | wc -l) -ge 3 ]]; do sleep 0.5; done
    sinfo --Node --partition=main >&2
    squeue --array >&2
    follow cross-validation "$cross_validation" --wait
}

# predict_one IMAGES: by the model of the first fold.
predict_one() {
    local training
    training=$(trainmaster cross-validation "$cross_validation" --json | json 'it["trainings"][0]["id"]')
    say "segmenting a part of the brain by the model of the first fold, on the cluster"
    follow predict "$training" "$1/brain/images/slices-084.nii.gz" --labels "$1/brain/labels/slices-084.nii.gz" --on slurm --wait
    # What SLURM says of the end of a job comes with the next question.
    until [[ $(trainmaster slurm --json | json "len([j for j in it['jobs'] if j['status'] in ('pending', 'running')])") == 0 ]]; do sleep 0.5; done
}

show_folds_page() {
    local sockets=$state/run/postgres
    cat <<PAGE

────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 Grey and white matter of a brain: a cross-validation of three folds on SLURM
────────────────────────────────────────────────────────────────────────────────────────────────────────────────

$(trainmaster cross-validation "$cross_validation")

$(psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$sockets" --username pic --dbname trainmaster --file "$here/demo-slurm.sql")

The log, checked event by event
$(trainmaster log verify | sed 's/^/  /')

Look for yourself$([[ $keep == yes ]] || printf ', while the daemon runs: ops/demo --slurm --keep')
  psql -h $sockets -U pic trainmaster
  $programs/trainmaster --state-dir $state slurm
  $programs/trainmaster --state-dir $state cross-validation $cross_validation
  The queries of this page: ops/demo-slurm.sql
PAGE
}

# demo_slurm IMAGES
demo_slurm() {
    trap leave_slurm EXIT
    start_cluster
    say "starting the daemon, on a Postgres of its own in $state"
    start_daemon
    cross_validation=$(complete_cross_validation)
    if [[ -z $cross_validation ]]; then
        train_folds "$1"
        predict_one "$1"
    fi
    show_folds_page
}
