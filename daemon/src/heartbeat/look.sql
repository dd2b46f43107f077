-- All that a daemon at rest wants to know, in one round trip.
WITH head AS (
    SELECT transaction_id, sequence
      FROM log.events
     ORDER BY transaction_id DESC, sequence DESC
     LIMIT 1
), outbox AS (
    SELECT count(*)                                                         AS waiting,
           -- What is further off than any back-off was said by a clock that was wrong.
           count(*) FILTER (WHERE not_before IS NULL OR not_before <= now()
                               OR not_before > now() + interval '1 day')                           AS due
      FROM log.outbox
), queue AS (
    SELECT count(*) FILTER (WHERE status IN ('Pending', 'Queued', 'Running'))                      AS waiting,
           count(*) FILTER (WHERE status = 'Pending' AND run_at < now())                           AS ready,
           count(*) FILTER (WHERE status IN ('Queued', 'Running')
                              AND (lock_at < now() - make_interval(secs => $2) OR lock_at > now() + interval '1 minute')
                           OR status = 'Pending' AND run_at > now() + interval '1 minute')         AS abandoned
      FROM apalis.jobs
     WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Running')
)
SELECT coalesce((SELECT transaction_id FROM head), 0) AS head_transaction,
       coalesce((SELECT sequence FROM head), 0)       AS head_sequence,
       EXISTS (SELECT
                 FROM head, projection.offsets
                WHERE offsets.schema_name = offsets.read_model
                  AND offsets.stopped_at IS NULL
                  AND (offsets.transaction_id, offsets.sequence) < (head.transaction_id, head.sequence)) AS behind,
       outbox.waiting  AS outbox_waiting,
       outbox.due      AS outbox_due,
       queue.waiting   AS queue_waiting,
       queue.ready     AS queue_ready,
       queue.abandoned AS queue_abandoned,
       (SELECT count(*) FROM dispatch.runs WHERE ended_at IS NULL) AS runs
  FROM outbox, queue
