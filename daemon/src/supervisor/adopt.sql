-- Takes over what nobody looks after. What a run could not be seen to do while nobody looked is not held against it.
UPDATE dispatch.runs
   SET supervisor       = $1,
       supervised_until = now() + make_interval(secs => $5),
       heartbeat_at     = now(),
       progress_at      = now()
 WHERE ended_at IS NULL
   AND (   (host = $2 AND state_directory = $3 AND supervisor <> $1)
        OR (host = $2 AND supervised_until < now())
        OR (host <> $2 AND supervised_until < now() - make_interval(secs => $4)))
RETURNING category, id, lease, host, directory, device, pid, process_started, journal_offset, journal_seq
