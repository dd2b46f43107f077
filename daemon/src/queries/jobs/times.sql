-- When a job was queued, and when something last happened to it.
SELECT f.recorded_at AS created_at,
       (SELECT l.recorded_at
          FROM log.events l
         WHERE l.category = 'job' AND l.stream_id = $1
         ORDER BY l.version DESC
         LIMIT 1) AS updated_at
  FROM log.events f
 WHERE f.category = 'job' AND f.stream_id = $1 AND f.version = 1
