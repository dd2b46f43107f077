SELECT id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
       quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at
  FROM mistudio.models
 WHERE ($1::text IS NULL OR status = $1)
   AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
 ORDER BY created_at DESC, id DESC
 LIMIT $4
