-- The latents of each autoencoder of training $1, as its run said when it began.
SELECT (e.payload ->> 'd_sae')::bigint
  FROM log.events e
 WHERE e.category = 'training' AND e.stream_id = $1 AND e.type = 'TrainingStarted'
 ORDER BY e.version DESC
 LIMIT 1
