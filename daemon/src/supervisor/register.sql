-- The row of a run that has just been started. A journal that an earlier lease began in the same directory goes on. Asked once more, because the
-- answer was lost, it answers the same.
INSERT INTO dispatch.runs AS runs
       (category, id, lease, host, state_directory, directory, device, pid, process_started,
        request, requested_at, supervisor, supervised_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
        $10, CASE WHEN $10 IS NOT NULL THEN now() END, $11, now() + make_interval(secs => $12))
    ON CONFLICT (category, id) DO UPDATE
   SET lease            = EXCLUDED.lease,
       host             = EXCLUDED.host,
       state_directory  = EXCLUDED.state_directory,
       directory        = EXCLUDED.directory,
       device           = EXCLUDED.device,
       pid              = EXCLUDED.pid,
       process_started  = EXCLUDED.process_started,
       journal_offset   = CASE WHEN runs.directory = EXCLUDED.directory THEN runs.journal_offset ELSE 0 END,
       journal_seq      = 0,
       beat             = NULL,
       progress         = NULL,
       heartbeat_at     = now(),
       progress_at      = now(),
       request          = EXCLUDED.request,
       requested_at     = EXCLUDED.requested_at,
       supervisor       = EXCLUDED.supervisor,
       supervised_until = EXCLUDED.supervised_until,
       claimed_at       = now(),
       ended_at         = NULL
 WHERE runs.lease < EXCLUDED.lease
    OR (runs.lease = EXCLUDED.lease
        AND (runs.supervisor = '' OR runs.supervisor = EXCLUDED.supervisor AND runs.ended_at IS NULL))
RETURNING journal_offset
