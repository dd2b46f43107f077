-- The last recorded step of a training, and how fast its run was over its last batch of metrics.
SELECT m.step, m.loss, m.sparsity, m.dead_neurons, m.explained_variance, m.learning_rate, m.timestamp,
       (SELECT (e.payload -> 'metrics' ->> 'tokens_per_second')::double precision
          FROM log.events e
         WHERE e.category = 'training' AND e.stream_id = $1 AND e.type = 'MetricsRecorded'
         ORDER BY e.version DESC
         LIMIT 1) AS tokens_per_second
  FROM mistudio.training_metrics m
 WHERE m.training_id = $1
 ORDER BY m.step DESC
 LIMIT 1
