-- When what happened to SLURM jobs. Their streams are short.
SELECT stream_id AS id,
       min(recorded_at) AS created_at,
       min(recorded_at) FILTER (WHERE type = 'SlurmJobSubmitted') AS submitted_at,
       max((payload ->> 'at')::timestamptz) FILTER (WHERE type = 'SlurmJobStarted') AS started_at,
       max((payload ->> 'at')::timestamptz) FILTER (WHERE type IN ('SlurmJobCompleted', 'SlurmJobFailed')) AS ended_at,
       max(payload ->> 'message') FILTER (WHERE type IN ('SlurmJobFailed', 'SlurmSubmissionRefused')) AS message,
       max(recorded_at) AS updated_at
  FROM log.events
 WHERE category = 'slurm_job' AND stream_id = ANY ($1)
 GROUP BY stream_id
