-- What a conversion cost is in no table of the read model: it is asked of the log, once a model.
SELECT m.id, m.name, m.architecture, m.params_count, m.quantization, m.status, m.progress, m.error_message, m.file_path,
       m.quantized_path, m.architecture_config, m.memory_required_bytes, m.disk_size_bytes, m.created_at, m.updated_at,
       (SELECT jsonb_build_object(
                   'loss_before', loss -> 'before',
                   'loss_after', loss -> 'after',
                   'perplexity_before', exp(LEAST((loss ->> 'before')::float8, 700)),
                   'perplexity_after', exp(LEAST((loss ->> 'after')::float8, 700)),
                   'evaluated_on', loss -> 'evaluated_on',
                   'tokens', loss -> 'tokens')
          FROM log.events AS e, LATERAL (SELECT e.payload -> 'loss' AS loss) AS found
         WHERE e.category = 'model'
           AND e.stream_id = m.id
           AND e.type = 'ModelQuantized'
           AND loss IS NOT NULL
         ORDER BY e.version DESC
         LIMIT 1) AS conversion
  FROM mistudio.models AS m
 WHERE m.id = $1
    OR (m.name = $1 AND NOT EXISTS (SELECT FROM mistudio.models WHERE id = $1))
 ORDER BY m.created_at, m.id
 LIMIT 5
