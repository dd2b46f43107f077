-- Recorded steps of trainings that have ended, older than $1.
SELECT t.id AS training_id, count(*) AS rows, sum(pg_column_size(m.*))::bigint AS bytes
  FROM mistudio.trainings t
  JOIN mistudio.training_metrics m ON m.training_id = t.id AND m.timestamp < $1
 WHERE t.status IN ('completed', 'stopped', 'failed', 'error')
 GROUP BY t.id, t.created_at
 ORDER BY t.created_at, t.id
 LIMIT $2
