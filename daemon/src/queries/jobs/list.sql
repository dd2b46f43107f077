-- Jobs before a position, the newest first, with what the last event of each says. Both sides are read through indexes: the first
-- through events_jobs_queued, the last event by its stream's version.
SELECT q.stream_id AS id,
       q.payload #>> '{work,kind}' AS kind,
       CASE
           WHEN l.type IN ('JobQueued', 'JobRetried', 'JobLeaseExpired') THEN 'queued'
           WHEN l.type = 'JobCompleted' THEN 'completed'
           WHEN l.type = 'JobFailed' THEN 'failed'
           WHEN l.type = 'JobCancelled' THEN 'cancelled'
           ELSE 'running'
       END AS status,
       q.payload #>> '{work,model_id}' AS model_id,
       coalesce(q.payload #>> '{work,training_id}', q.payload #>> '{work,intervention,training_id}') AS training_id,
       left(q.payload #>> '{work,prompt}', 200) AS prompt,
       CASE l.type WHEN 'JobProgressed' THEN l.payload ->> 'stage' END AS stage,
       CASE l.type WHEN 'JobProgressed' THEN (l.payload ->> 'percent')::double precision END AS progress,
       CASE l.type WHEN 'JobFailed' THEN l.payload ->> 'code' END AS error_code,
       CASE l.type WHEN 'JobFailed' THEN l.payload ->> 'message' END AS error_message,
       q.recorded_at AS created_at,
       l.recorded_at AS updated_at,
       q.transaction_id,
       q.sequence
  FROM (SELECT *
          FROM log.events
         WHERE category = 'job' AND type = 'JobQueued' AND (transaction_id, sequence) < ($1, $2)
         ORDER BY transaction_id DESC, sequence DESC
         LIMIT $3) q
 CROSS JOIN LATERAL (SELECT e.type, e.payload, e.recorded_at
                       FROM log.events e
                      WHERE e.category = 'job' AND e.stream_id = q.stream_id
                      ORDER BY e.version DESC
                      LIMIT 1) l
 ORDER BY q.transaction_id DESC, q.sequence DESC
