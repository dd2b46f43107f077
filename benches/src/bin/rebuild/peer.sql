-- The same rows, a statement a table.
INSERT INTO datasets (id, name, source, description, size_bytes, status, progress, created_at, updated_at)
SELECT stream_id, payload ->> 'name', payload ->> 'source', payload ->> 'description', 0, 'downloading', 0, recorded_at, recorded_at
  FROM log.events WHERE type = 'DatasetRegistered';

INSERT INTO models (id, name, architecture, params_count, quantization, status, progress, created_at, updated_at)
SELECT stream_id, payload ->> 'name', payload ->> 'architecture', 0, payload ->> 'quantization', 'downloading', 0, recorded_at, recorded_at
  FROM log.events WHERE type = 'ModelRegistered';

INSERT INTO trainings (id, model_id, dataset_id, encoder_type, hyperparameters, status, current_step, total_steps, latest_loss,
                       latest_sparsity, latest_dead_neurons, retry_count, created_at, started_at, completed_at, updated_at, worker_id)
SELECT q.stream_id, q.payload ->> 'model_id', q.payload ->> 'dataset_id', q.payload ->> 'encoder_type', q.payload -> 'hyperparameters',
       'completed', (c.payload ->> 'step')::integer, (q.payload ->> 'total_steps')::integer,
       (m.metrics -> 'loss' ->> -1)::float8, (m.metrics -> 'sparsity' ->> -1)::float8, (m.metrics -> 'dead_neurons' ->> -1)::integer,
       t.retries, q.recorded_at, t.started_at, c.recorded_at, c.recorded_at, 'edge-01'
  FROM log.events q
  JOIN log.events c ON c.stream_id = q.stream_id AND c.category = 'training' AND c.type = 'TrainingCompleted'
  JOIN (SELECT stream_id, count(*) FILTER (WHERE type = 'TrainingRetried') AS retries,
               min(recorded_at) FILTER (WHERE type = 'TrainingStarted') AS started_at,
               max(version) FILTER (WHERE type = 'MetricsRecorded') AS last_metrics
          FROM log.events WHERE category = 'training' GROUP BY stream_id) AS t ON t.stream_id = q.stream_id
  JOIN LATERAL (SELECT payload -> 'metrics' AS metrics FROM log.events
                 WHERE category = 'training' AND stream_id = q.stream_id AND version = t.last_metrics) AS m ON TRUE
 WHERE q.type = 'TrainingQueued';

INSERT INTO training_metrics (id, training_id, step, loss, sparsity, reconstruction_error, dead_neurons, explained_variance,
                              learning_rate, timestamp)
SELECT e.first + s.n, e.stream_id, s.step::integer, s.loss::float8, s.sparsity::float8, s.reconstruction_error::float8,
       s.dead_neurons::integer, s.explained_variance::float8, s.learning_rate::float8, s.at::timestamptz
  FROM (SELECT stream_id, version, payload -> 'metrics' AS m,
               sum(jsonb_array_length(payload -> 'metrics' -> 'steps')) OVER (ORDER BY transaction_id, sequence ROWS UNBOUNDED PRECEDING)
               - jsonb_array_length(payload -> 'metrics' -> 'steps') AS first
          FROM log.events WHERE type = 'MetricsRecorded') AS e
  LEFT JOIN (SELECT stream_id, version, (payload ->> 'at_step')::integer AS at_step
               FROM log.events WHERE type = 'TrainingStarted') AS again
         ON again.stream_id = e.stream_id AND again.version > e.version
 CROSS JOIN LATERAL ROWS FROM (
       jsonb_array_elements_text(m -> 'steps'), jsonb_array_elements_text(m -> 'loss'), jsonb_array_elements_text(m -> 'sparsity'),
       jsonb_array_elements_text(m -> 'reconstruction_error'), jsonb_array_elements_text(m -> 'dead_neurons'),
       jsonb_array_elements_text(m -> 'explained_variance'), jsonb_array_elements_text(m -> 'learning_rate'),
       jsonb_array_elements_text(m -> 'at')) WITH ORDINALITY
       AS s (step, loss, sparsity, reconstruction_error, dead_neurons, explained_variance, learning_rate, at, n)
 WHERE again.at_step IS NULL OR s.step::integer <= again.at_step;

INSERT INTO checkpoints (id, training_id, step, loss, sparsity, storage_path, file_size_bytes, created_at)
SELECT payload ->> 'checkpoint_id', stream_id, (payload ->> 'step')::integer, (payload ->> 'loss')::float8,
       (payload ->> 'sparsity')::float8, payload ->> 'storage_path', (payload ->> 'file_size_bytes')::bigint, recorded_at
  FROM log.events WHERE type = 'CheckpointSaved';
