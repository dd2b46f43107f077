-- Trainings $1 to $2 - 1, four at a time, each with 40 batches of $3 steps and a checkpoint every ten; every tenth is lost once, and goes
-- on from its last checkpoint. In one transaction, through the log's own triggers.
WITH batches AS (
    SELECT batch, jsonb_build_object(
        'steps', jsonb_agg(step), 'loss', jsonb_agg(1 / sqrt(step::float8)), 'sparsity', jsonb_agg(30 + sin(step::float8)),
        'reconstruction_error', jsonb_agg(0.9 / sqrt(step::float8)), 'dead_neurons', jsonb_agg(step % 97),
        'explained_variance', jsonb_agg(1 - 1 / sqrt(step::float8 + 1)), 'learning_rate', jsonb_agg(0.001 * exp(-step::float8 / 1e4)),
        'at', jsonb_agg(to_char(timestamp '2026-11-01' + step * interval '137 ms', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
        'tokens_per_second', 14000.5) AS metrics
      FROM generate_series(1, 40) AS batch, generate_series((batch - 1) * $3 + 1, batch * $3) AS step
     GROUP BY batch
), trainings AS (
    SELECT n, format('tr_%s', lpad(n::text, 8, '0')) AS id, n % 10 = 3 AS is_lost FROM generate_series($1, $2 - 1) AS n
), happened AS (
    SELECT n, id, moment, type, batch, lease
      FROM trainings, LATERAL (
        VALUES (0, 'TrainingQueued', 0, 0), (1, 'TrainingClaimed', 0, 1), (2, 'TrainingStarted', 0, 1),
               (9000, 'TrainingEvaluated', 40, 1 + is_lost::int), (9001, 'TrainingCompleted', 40, 1 + is_lost::int)
        UNION ALL
        SELECT 10 + 2 * batch, 'MetricsRecorded', batch, 1 FROM generate_series(1, CASE WHEN is_lost THEN 25 ELSE 40 END) AS batch
        UNION ALL
        SELECT 11 + 2 * batch, 'CheckpointSaved', batch, 1 FROM generate_series(10, CASE WHEN is_lost THEN 25 ELSE 40 END, 10) AS batch
        UNION ALL
        SELECT * FROM (VALUES (500, 'TrainingLeaseExpired', 0, 1), (501, 'TrainingRetried', 0, 0), (502, 'TrainingClaimed', 0, 2),
                              (503, 'TrainingStarted', 20, 2)) AS again WHERE is_lost
        UNION ALL
        SELECT 600 + 2 * batch, 'MetricsRecorded', batch, 2 FROM generate_series(21, 40) AS batch WHERE is_lost
        UNION ALL
        SELECT 601 + 2 * batch, 'CheckpointSaved', batch, 2 FROM generate_series(30, 40, 10) AS batch WHERE is_lost
      ) AS life (moment, type, batch, lease)
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY n ORDER BY moment) AS version FROM happened
)
INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, causation_id, actor,
                             traceparent, payload, transaction_id, recorded_at, previous_hash, hash)
SELECT version, 1, version, 'training', id, type, 'of ' || id, id, NULL, 'trainer',
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
       CASE type
       WHEN 'MetricsRecorded' THEN jsonb_build_object('lease', lease, 'seq', version, 'metrics', metrics)
       WHEN 'CheckpointSaved' THEN jsonb_build_object('lease', lease, 'seq', version, 'checkpoint_id', format('cp_%s_%s_%s', id, batch, lease),
            'step', batch * $3, 'loss', 0.5, 'sparsity', 31.25, 'storage_path', format('/var/lib/trainmaster/runs/%s/checkpoints/%s-%s', id, batch * $3, lease),
            'file_size_bytes', 63700000, 'sha256', repeat('ef', 32))
       WHEN 'TrainingQueued' THEN jsonb_build_object('model_id', 'm_1', 'dataset_id', 'ds_1', 'encoder_type', 'sparse', 'total_steps', 40 * $3,
            'hyperparameters', jsonb_build_object('learningRate', 0.001, 'batchSize', 256, 'l1Coefficient', 0.0001, 'expansionFactor', 8,
                'trainingSteps', 40 * $3, 'optimizer', 'AdamW', 'lrSchedule', 'cosine', 'ghostGradPenalty', false, 'beta1', 0.9,
                'beta2', 0.999, 'checkpointInterval', 10 * $3, 'deadWindowSteps', 1000, 'hook', 'residual', 'logInterval', 1,
                'precision', 'auto', 'seed', 42, 'warmupSteps', 0, 'weightDecay', 0.0))
       WHEN 'TrainingClaimed' THEN jsonb_build_object('lease', lease, 'worker_id', 'edge-01', 'host', 'edge', 'device', 'cpu')
       WHEN 'TrainingStarted' THEN jsonb_build_object('lease', lease, 'seq', 2, 'at_step', batch * $3, 'd_in', 576, 'd_sae', 4608)
       WHEN 'TrainingLeaseExpired' THEN jsonb_build_object('lease', lease, 'reason', 'no_heartbeat', 'message', 'No heartbeat for 30 s.')
       WHEN 'TrainingRetried' THEN jsonb_build_object('automatic', true)
       WHEN 'TrainingEvaluated' THEN jsonb_build_object('lease', lease, 'seq', version, 'step', 40 * $3, 'sites', jsonb_build_array(
            jsonb_build_object('layer', 5, 'hook', 'residual', 'explained_variance', 0.875, 'active_latents', 31.25, 'dead_latents', 12,
                'dense_latents', 3, 'ce_clean', 3.5, 'ce_spliced', 3.75, 'ce_ablated', 5.5, 'ce_score', 0.875, 'tokens', 2048)))
       ELSE jsonb_build_object('lease', lease, 'seq', version, 'step', 40 * $3, 'result', jsonb_build_object('path',
            format('/var/lib/trainmaster/runs/%s/result', id), 'sha256', repeat('ab', 32)))
       END, 0, '-infinity'::timestamptz, ''::bytea, ''::bytea
  FROM numbered LEFT JOIN batches USING (batch)
 ORDER BY n / 4, moment, n
