CREATE TABLE trainings (
    id VARCHAR(255) PRIMARY KEY,
    model_id VARCHAR(255) NOT NULL REFERENCES models (id) ON DELETE RESTRICT,
    dataset_id VARCHAR(255) NOT NULL REFERENCES datasets (id) ON DELETE RESTRICT,
    encoder_type VARCHAR(50) NOT NULL,
    hyperparameters JSONB NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'queued',
    current_step INTEGER DEFAULT 0,
    total_steps INTEGER NOT NULL,
    progress FLOAT GENERATED ALWAYS AS (
        CASE WHEN total_steps > 0
        THEN (current_step::FLOAT / total_steps * 100)
        ELSE 0 END
    ) STORED,
    latest_loss FLOAT,
    latest_sparsity FLOAT,
    latest_dead_neurons INTEGER,
    error_message TEXT,
    error_code VARCHAR(100),
    retry_count INTEGER DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    started_at TIMESTAMP WITH TIME ZONE,
    paused_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    gpu_id INTEGER,
    worker_id VARCHAR(100),
    CONSTRAINT trainings_status_check CHECK (status IN
        ('queued', 'initializing', 'training', 'paused', 'stopped',
         'completed', 'failed', 'error')),
    -- The document checks the encoder type of templates and forgets that of trainings.
    CONSTRAINT trainings_encoder_type_check CHECK (encoder_type IN
        ('sparse', 'skip', 'transcoder'))
);

CREATE INDEX idx_trainings_status ON trainings (status);
CREATE INDEX idx_trainings_model_id ON trainings (model_id);
CREATE INDEX idx_trainings_dataset_id ON trainings (dataset_id);
CREATE INDEX idx_trainings_created_at ON trainings (created_at DESC);
CREATE INDEX idx_trainings_completed_at ON trainings (completed_at DESC NULLS LAST);
CREATE INDEX idx_trainings_active ON trainings (status, updated_at)
    WHERE status IN ('queued', 'initializing', 'training', 'paused');

COMMENT ON TABLE trainings IS 'Trainings of autoencoders on the activations of a language model.';
COMMENT ON COLUMN trainings.id IS 'tr_…';
COMMENT ON COLUMN trainings.model_id IS 'Whose activations.';
COMMENT ON COLUMN trainings.dataset_id IS 'On which text.';
COMMENT ON COLUMN trainings.encoder_type IS 'sparse, skip or transcoder.';
COMMENT ON COLUMN trainings.hyperparameters IS 'learningRate, batchSize, l1Coefficient, expansionFactor, trainingSteps, optimizer, lrSchedule, ghostGradPenalty, and optional ones beside them.';
COMMENT ON COLUMN trainings.status IS 'queued, initializing, training, paused, stopped, completed, failed (the workload''s fault) or error (the infrastructure''s).';
COMMENT ON COLUMN trainings.current_step IS 'The last step recorded; while it rests or goes on, the step of the checkpoint it goes on from.';
COMMENT ON COLUMN trainings.total_steps IS 'Steps to do.';
COMMENT ON COLUMN trainings.progress IS '0 to 100: current_step of total_steps.';
COMMENT ON COLUMN trainings.latest_loss IS 'Loss of the last row of training_metrics.';
COMMENT ON COLUMN trainings.latest_sparsity IS 'L0 of the last row of training_metrics.';
COMMENT ON COLUMN trainings.latest_dead_neurons IS 'Dead latents of the last row of training_metrics.';
COMMENT ON COLUMN trainings.error_message IS 'Why the last attempt ended badly; kept while the daemon tries again, cleared once the next attempt trains or a person retries.';
COMMENT ON COLUMN trainings.error_code IS 'The same as a stable code: the trainer''s, how the run was found to be gone, or poison when it was given up.';
COMMENT ON COLUMN trainings.retry_count IS 'Attempts after the first, by the daemon or by a person.';
COMMENT ON COLUMN trainings.created_at IS 'When it was queued.';
COMMENT ON COLUMN trainings.started_at IS 'When its first attempt began to train.';
COMMENT ON COLUMN trainings.paused_at IS 'When it was last paused.';
COMMENT ON COLUMN trainings.completed_at IS 'When it became completed, stopped, failed or error; NULL again when it is retried.';
COMMENT ON COLUMN trainings.updated_at IS 'When the last of its events was recorded.';
COMMENT ON COLUMN trainings.gpu_id IS 'The GPU of the last attempt; NULL on a CPU.';
COMMENT ON COLUMN trainings.worker_id IS 'The daemon process that started the last attempt.';
