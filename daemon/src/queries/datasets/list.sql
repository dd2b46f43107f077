SELECT id, name, source, description, size_bytes, status, progress, error_message, file_path,
       tokenized_path, num_samples, num_tokens, vocab_size, avg_sequence_length, created_at, updated_at
  FROM mistudio.datasets
 WHERE ($1::text IS NULL OR status = $1)
   AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
 ORDER BY created_at DESC, id DESC
 LIMIT $4
