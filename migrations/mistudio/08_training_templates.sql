CREATE TABLE training_templates (
    id VARCHAR(255) PRIMARY KEY,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    model_id VARCHAR(255) REFERENCES models (id) ON DELETE SET NULL,
    dataset_id VARCHAR(255) REFERENCES datasets (id) ON DELETE SET NULL,
    encoder_type VARCHAR(50) NOT NULL,
    hyperparameters JSONB NOT NULL,
    is_favorite BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT training_templates_encoder_type_check CHECK (encoder_type IN
        ('sparse', 'skip', 'transcoder'))
);

CREATE INDEX idx_training_templates_is_favorite ON training_templates (is_favorite)
    WHERE is_favorite = TRUE;
CREATE INDEX idx_training_templates_created_at ON training_templates (created_at DESC);
CREATE INDEX idx_training_templates_model_id ON training_templates (model_id)
    WHERE model_id IS NOT NULL;
CREATE INDEX idx_training_templates_dataset_id ON training_templates (dataset_id)
    WHERE dataset_id IS NOT NULL;

COMMENT ON TABLE training_templates IS 'Ways to train that are kept for another time.';
COMMENT ON COLUMN training_templates.id IS 'tmpl_…';
COMMENT ON COLUMN training_templates.name IS 'What people call it.';
COMMENT ON COLUMN training_templates.description IS 'What it is for.';
COMMENT ON COLUMN training_templates.model_id IS 'The model it is tuned for; NULL: any.';
COMMENT ON COLUMN training_templates.dataset_id IS 'The dataset it is tuned for; NULL: any.';
COMMENT ON COLUMN training_templates.encoder_type IS 'sparse, skip or transcoder.';
COMMENT ON COLUMN training_templates.hyperparameters IS 'As trainings.hyperparameters.';
COMMENT ON COLUMN training_templates.is_favorite IS 'Marked by a person.';
COMMENT ON COLUMN training_templates.created_at IS 'When it was made.';
COMMENT ON COLUMN training_templates.updated_at IS 'When the last of its events was recorded.';
