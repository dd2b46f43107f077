-- The block of ids that an earlier extraction of training $1, which has $2 latents, was given.
SELECT (e.payload -> 'work' ->> 'first_feature_id')::bigint
  FROM log.events e
 WHERE e.category = 'job' AND e.type = 'JobQueued'
   AND e.payload -> 'work' ->> 'training_id' = $1
   AND e.payload -> 'work' ->> 'kind' = 'extraction'
   AND (e.payload -> 'work' ->> 'latents')::bigint = $2
 ORDER BY e.transaction_id, e.sequence
 LIMIT 1
