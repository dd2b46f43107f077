-- What has been seen of a run, and what the clock says about it.
UPDATE dispatch.runs
   SET heartbeat_at     = CASE WHEN $11 OR $7 IS DISTINCT FROM beat THEN now() ELSE heartbeat_at END,
       progress_at      = CASE WHEN $11 OR $8 IS DISTINCT FROM progress OR $6 <> journal_seq THEN now() ELSE progress_at END,
       journal_offset   = $5,
       journal_seq      = $6,
       beat             = $7,
       progress         = $8,
       refused_reports  = refused_reports + $9,
       supervised_until = now() + make_interval(secs => $10)
 WHERE category = $1 AND id = $2 AND lease = $3 AND supervisor = $4 AND ended_at IS NULL
RETURNING extract(epoch FROM now() - heartbeat_at)::float8 AS silent_for,
          extract(epoch FROM now() - progress_at)::float8  AS stuck_for,
          request,
          extract(epoch FROM now() - requested_at)::float8 AS requested_for
