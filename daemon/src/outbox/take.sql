-- Takes what is due out of the outbox, oldest first. That the commit need not wait for the disk holds for this transaction alone.
WITH setting AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), due AS (
    SELECT id
      FROM log.outbox
     WHERE not_before IS NULL OR not_before <= now() OR not_before > now() + interval '1 day'
     ORDER BY id
     LIMIT $1
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM log.outbox
     USING due
     WHERE outbox.id = due.id
 RETURNING outbox.*
)
SELECT taken.category,
       taken.stream_id,
       taken.task,
       taken.correlation_id,
       taken.traceparent,
       taken.transaction_id::text || '-' || taken.sequence AS causation_id,
       taken.created_at,
       clock_timestamp() AS now
  FROM setting, taken
 ORDER BY taken.id
