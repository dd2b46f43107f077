# shellcheck shell=bash
# A daemon for a script: on the embedded Postgres of the directory $state, with the programs of $programs.

daemon_log=${state:?}/daemon.log
daemon_pid=

# The command line, talking to that daemon.
trainmaster() {
    "${programs:?}/trainmaster" --state-dir "$state" "$@"
}

daemon_answers() {
    trainmaster ls --json >/dev/null 2>&1
}

# In a session of its own, so that Ctrl-C reaches the script alone, which then ends the daemon in good order.
start_daemon() {
    setsid "$programs/trainmaster" --state-dir "$state" serve >>"$daemon_log" 2>&1 </dev/null &
    daemon_pid=$!
    until daemon_answers; do
        kill -0 "$daemon_pid" 2>/dev/null ||
            fail "The daemon ended as it started. The end of its log, $daemon_log:" "$(tail -n 15 "$daemon_log")"
        sleep 0.1
    done
}

# Takes over a daemon that an earlier script has left running.
adopt_daemon() {
    daemon_pid=$(<"$state/lock")
}

# A run goes on without the daemon.
stop_daemon() {
    [[ -n $daemon_pid ]] || return 0
    kill -TERM "$daemon_pid" 2>/dev/null || true
    wait "$daemon_pid" 2>/dev/null || true
    while kill -0 "$daemon_pid" 2>/dev/null; do sleep 0.1; done # one that was adopted
    daemon_pid=
}
