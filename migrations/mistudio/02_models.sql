CREATE TABLE models (
    id VARCHAR(255) PRIMARY KEY,
    name VARCHAR(500) NOT NULL,
    architecture VARCHAR(100) NOT NULL,
    params_count BIGINT NOT NULL,
    quantization VARCHAR(50) NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'downloading',
    progress FLOAT,
    error_message TEXT,
    file_path VARCHAR(1000),
    quantized_path VARCHAR(1000),
    architecture_config JSONB,
    memory_required_bytes BIGINT,
    disk_size_bytes BIGINT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT models_status_check CHECK (status IN
        ('downloading', 'loading', 'quantizing', 'ready', 'error'))
);

CREATE INDEX idx_models_status ON models (status);
CREATE INDEX idx_models_architecture ON models (architecture);
CREATE INDEX idx_models_created_at ON models (created_at DESC);
CREATE INDEX idx_models_search ON models
    USING GIN (to_tsvector('english', name || ' ' || architecture));

COMMENT ON TABLE models IS 'Language models whose activations are studied.';
COMMENT ON COLUMN models.id IS 'm_… or a Hugging Face repository.';
COMMENT ON COLUMN models.name IS 'What people call it.';
COMMENT ON COLUMN models.architecture IS 'Its family: llama, gpt2, pythia, phi, …';
COMMENT ON COLUMN models.params_count IS 'All parameters, tied ones once; 0 until its files have been read.';
COMMENT ON COLUMN models.quantization IS 'How its weights are held: Q4, Q8, FP16, FP32 or INT8.';
COMMENT ON COLUMN models.status IS 'downloading, loading, quantizing, ready or error.';
COMMENT ON COLUMN models.progress IS '0 to 100, of the stage that status names; 100 once ready.';
COMMENT ON COLUMN models.error_message IS 'Why it cannot be worked with; cleared by another attempt.';
COMMENT ON COLUMN models.file_path IS 'The GGUF file or Hugging Face directory on this machine.';
COMMENT ON COLUMN models.quantized_path IS 'The converted weights, when there are any.';
COMMENT ON COLUMN models.architecture_config IS 'num_layers, hidden_size, … as found in its files.';
COMMENT ON COLUMN models.memory_required_bytes IS 'What a run on it needs in memory.';
COMMENT ON COLUMN models.disk_size_bytes IS 'Bytes of its files.';
COMMENT ON COLUMN models.created_at IS 'When it was registered.';
COMMENT ON COLUMN models.updated_at IS 'When the last of its events was recorded.';
