-- By the very expression of idx_datasets_search, so that the index serves.
SELECT id, name, source, description, size_bytes, status, progress, error_message, file_path,
       tokenized_path, num_samples, num_tokens, vocab_size, avg_sequence_length, created_at, updated_at
  FROM mistudio.datasets
 WHERE to_tsvector('english', name || ' ' || COALESCE(description, '')) @@ websearch_to_tsquery('english', $1)
   AND ($2::text IS NULL OR status = $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
 ORDER BY created_at DESC, id DESC
 LIMIT $5
