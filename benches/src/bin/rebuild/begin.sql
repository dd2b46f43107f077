-- The model and the dataset of all trainings.
INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, actor, payload,
                             transaction_id, recorded_at, previous_hash, hash)
VALUES (1, 1, 1, 'model', 'm_1', 'ModelRegistered', 'm_1', 'm_1', 'cli',
        '{"architecture": "llama", "name": "SmolLM2-135M", "quantization": "Q4"}', 0, '-infinity', '', ''),
       (1, 1, 1, 'dataset', 'ds_1', 'DatasetRegistered', 'ds_1', 'ds_1', 'cli',
        '{"context_length": 256, "description": "18 books", "name": "books", "source": "Local", "text_column": "text", "tokenizer_model_id": "m_1"}', 0, '-infinity', '', '')
