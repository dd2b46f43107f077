-- Checkpoints beyond the newest $1 and the one with the lowest loss, and, of trainings that have ended, those older than $2. Never the one
-- that another attempt would go on from.
SELECT training_id, id, step, storage_path, bytes, expired
  FROM (SELECT c.training_id, c.id, c.step, c.storage_path, coalesce(c.file_size_bytes, 0) AS bytes, t.created_at,
               t.status IN ('completed', 'stopped') AS is_over,
               t.status IN ('completed', 'stopped', 'failed', 'error') AND c.created_at < $2 AS expired,
               row_number() OVER (PARTITION BY c.training_id ORDER BY c.step DESC) AS newest,
               CASE WHEN c.loss IS NOT NULL AND c.loss < 'Infinity'
                    THEN row_number() OVER (PARTITION BY c.training_id ORDER BY c.loss ASC NULLS LAST, c.step DESC) END AS best
          FROM mistudio.checkpoints c
          JOIN mistudio.trainings t ON t.id = c.training_id) AS ranked
 WHERE (expired OR (newest > $1 AND best IS DISTINCT FROM 1))
   AND (is_over OR newest > 1)
 ORDER BY created_at, training_id, step
 LIMIT $3
