-- Trainings, the newest first, a page at a time.
SELECT t.id, t.model_id, m.name AS model_name, t.dataset_id, d.name AS dataset_name, t.encoder_type, t.hyperparameters,
       t.status, t.current_step, t.total_steps, t.progress, t.latest_loss, t.latest_sparsity, t.latest_dead_neurons,
       t.error_message, t.error_code, t.retry_count, t.created_at, t.started_at, t.paused_at, t.completed_at,
       t.updated_at, t.gpu_id, t.worker_id
  FROM mistudio.trainings t
  LEFT JOIN mistudio.models m ON m.id = t.model_id
  LEFT JOIN mistudio.datasets d ON d.id = t.dataset_id
 WHERE ($1::text IS NULL OR t.status = $1)
   AND ($2::text IS NULL OR t.model_id = $2)
   AND ($3::text IS NULL OR t.dataset_id = $3)
   AND ($4::timestamptz IS NULL OR (t.created_at, t.id) < ($4, $5))
 ORDER BY t.created_at DESC, t.id DESC
 LIMIT $6
