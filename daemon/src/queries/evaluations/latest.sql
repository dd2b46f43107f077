-- The latest evaluations of a training. They are in its stream alone: no table of the read model has a column for them.
SELECT (e.payload ->> 'step')::bigint AS step,
       e.payload -> 'sites' AS sites,
       e.recorded_at
  FROM log.events e
 WHERE e.category = 'training' AND e.stream_id = $1 AND e.type = 'TrainingEvaluated'
 ORDER BY e.version DESC
 LIMIT $2
