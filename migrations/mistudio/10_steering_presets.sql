CREATE TABLE steering_presets (
    id VARCHAR(255) PRIMARY KEY,
    training_id VARCHAR(255) NOT NULL REFERENCES trainings (id) ON DELETE CASCADE,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    features JSONB NOT NULL,
    intervention_layer INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_steering_presets_training_id ON steering_presets (training_id);
CREATE INDEX idx_steering_presets_created_at ON steering_presets (created_at DESC);

COMMENT ON TABLE steering_presets IS 'Ways to steer a language model by features of a trained autoencoder.';
COMMENT ON COLUMN steering_presets.id IS 'preset_…';
COMMENT ON COLUMN steering_presets.training_id IS 'The training whose autoencoder steers.';
COMMENT ON COLUMN steering_presets.name IS 'What people call it.';
COMMENT ON COLUMN steering_presets.description IS 'What it is for.';
COMMENT ON COLUMN steering_presets.features IS 'An array of {"feature_id": …, "coefficient": …}.';
COMMENT ON COLUMN steering_presets.intervention_layer IS 'The layer at which the residual stream is changed.';
COMMENT ON COLUMN steering_presets.created_at IS 'When it was made.';
COMMENT ON COLUMN steering_presets.updated_at IS 'When the last of its events was recorded.';
