-- The courses of trainings, in the order of the ids ($1). What ended a training is looked for only where one has ended ($2), and the last
-- metrics only where there are some ($3): both are then near the end of its stream, which is read from there.
SELECT q.recorded_at AS created_at,
       l.recorded_at AS updated_at,
       s.recorded_at AS started_at,
       e.recorded_at AS ended_at,
       e.payload ->> 'code' AS error_code,
       e.payload ->> 'message' AS error_message,
       CASE WHEN m.metrics IS NOT NULL THEN jsonb_build_object(
           'step', m.metrics -> 'steps' -> -1,
           'loss', m.metrics -> 'loss' -> -1,
           'dice', m.metrics -> 'dice' -> -1,
           'learning_rate', m.metrics -> 'learning_rate' -> -1,
           'images_per_second', m.metrics -> 'tokens_per_second') END AS latest
  FROM unnest($1::text[], $2::boolean[], $3::boolean[]) WITH ORDINALITY AS t (id, has_ended, has_metrics, number)
  JOIN log.events q ON q.category = 'training' AND q.stream_id = t.id AND q.version = 1
 CROSS JOIN LATERAL (SELECT recorded_at FROM log.events
                      WHERE category = 'training' AND stream_id = t.id
                      ORDER BY version DESC LIMIT 1) l
  LEFT JOIN LATERAL (SELECT recorded_at FROM log.events
                      WHERE t.has_metrics AND category = 'training' AND stream_id = t.id AND type = 'TrainingStarted'
                      ORDER BY version LIMIT 1) s ON true
  LEFT JOIN LATERAL (SELECT recorded_at, payload FROM log.events
                      WHERE t.has_ended AND category = 'training' AND stream_id = t.id
                        AND type IN ('TrainingCompleted', 'TrainingStopped', 'TrainingFailed', 'TrainingErrored')
                      ORDER BY version DESC LIMIT 1) e ON true
  LEFT JOIN LATERAL (SELECT payload -> 'metrics' AS metrics FROM log.events
                      WHERE t.has_metrics AND category = 'training' AND stream_id = t.id AND type = 'MetricsRecorded'
                      ORDER BY version DESC LIMIT 1) m ON true
 ORDER BY t.number
