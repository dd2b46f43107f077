CREATE TABLE training_metrics (
    id BIGSERIAL PRIMARY KEY,
    training_id VARCHAR(255) NOT NULL REFERENCES trainings (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    loss FLOAT NOT NULL,
    sparsity FLOAT,
    reconstruction_error FLOAT,
    dead_neurons INTEGER,
    explained_variance FLOAT,
    learning_rate FLOAT,
    timestamp TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT training_metrics_unique_step UNIQUE (training_id, step)
);

CREATE INDEX idx_training_metrics_training_step ON training_metrics (training_id, step);
CREATE INDEX idx_training_metrics_timestamp ON training_metrics (training_id, timestamp);

COMMENT ON TABLE training_metrics IS 'What was measured while training, a row a recorded step. An attempt that goes on from step n removes the rows past n.';
COMMENT ON COLUMN training_metrics.id IS 'Counted in the order of the log; a row that an attempt removed leaves a gap.';
COMMENT ON COLUMN training_metrics.training_id IS 'The training.';
COMMENT ON COLUMN training_metrics.step IS 'The step, counted from 1.';
COMMENT ON COLUMN training_metrics.loss IS 'Mean over the batch of squared error summed over dimensions, plus the sparsity term.';
COMMENT ON COLUMN training_metrics.sparsity IS 'L0: mean count of active latents a token.';
COMMENT ON COLUMN training_metrics.reconstruction_error IS 'The reconstruction part of the loss.';
COMMENT ON COLUMN training_metrics.dead_neurons IS 'Latents that have not fired within the window.';
COMMENT ON COLUMN training_metrics.explained_variance IS 'Fraction of variance explained on the batch of the step.';
COMMENT ON COLUMN training_metrics.learning_rate IS 'Learning rate of the step.';
COMMENT ON COLUMN training_metrics.timestamp IS 'When the step ended, by the trainer''s clock.';
