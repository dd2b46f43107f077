CREATE TABLE checkpoints (
    id VARCHAR(255) PRIMARY KEY,
    training_id VARCHAR(255) NOT NULL REFERENCES trainings (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    loss FLOAT,
    sparsity FLOAT,
    storage_path VARCHAR(1000) NOT NULL,
    file_size_bytes BIGINT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT checkpoints_unique_step UNIQUE (training_id, step)
);

CREATE INDEX idx_checkpoints_training_id ON checkpoints (training_id);
CREATE INDEX idx_checkpoints_step ON checkpoints (training_id, step DESC);
CREATE INDEX idx_checkpoints_created_at ON checkpoints (created_at DESC);

COMMENT ON TABLE checkpoints IS 'Points from which a training can go on exactly; the files are on disk.';
COMMENT ON COLUMN checkpoints.id IS 'cp_…';
COMMENT ON COLUMN checkpoints.training_id IS 'The training.';
COMMENT ON COLUMN checkpoints.step IS 'Steps that are done in it.';
COMMENT ON COLUMN checkpoints.loss IS 'Loss of that step.';
COMMENT ON COLUMN checkpoints.sparsity IS 'L0 of that step.';
COMMENT ON COLUMN checkpoints.storage_path IS 'Its directory: weights, optimizer moments, random state, place in the data.';
COMMENT ON COLUMN checkpoints.file_size_bytes IS 'Bytes of all its files.';
COMMENT ON COLUMN checkpoints.created_at IS 'When it was recorded as durable.';
