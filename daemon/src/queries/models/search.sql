-- By the very expression of idx_models_search, so that the index serves.
SELECT id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
       quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at
  FROM mistudio.models
 WHERE to_tsvector('english', name || ' ' || architecture) @@ websearch_to_tsquery('english', $1)
   AND ($2::text IS NULL OR status = $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
 ORDER BY created_at DESC, id DESC
 LIMIT $5
