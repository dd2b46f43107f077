CREATE TABLE features (
    id BIGSERIAL PRIMARY KEY,
    training_id VARCHAR(255) NOT NULL REFERENCES trainings (id) ON DELETE CASCADE,
    neuron_index INTEGER NOT NULL,
    layer INTEGER,
    name VARCHAR(500),
    description TEXT,
    activation_frequency FLOAT NOT NULL,
    interpretability_score FLOAT,
    max_activation_value FLOAT,
    is_favorite BOOLEAN DEFAULT FALSE,
    is_hidden BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    -- The document's plain UNIQUE would let one latent repeat where its layer is NULL.
    CONSTRAINT features_unique_neuron UNIQUE NULLS NOT DISTINCT (training_id, neuron_index, layer)
);

CREATE INDEX idx_features_training_id ON features (training_id);
CREATE INDEX idx_features_activation_freq ON features (training_id, activation_frequency DESC);
CREATE INDEX idx_features_interpretability ON features (training_id, interpretability_score DESC NULLS LAST);
CREATE INDEX idx_features_favorite ON features (is_favorite) WHERE is_favorite = TRUE;
CREATE INDEX idx_features_layer ON features (layer);
CREATE INDEX idx_features_search ON features
    USING GIN (to_tsvector('english', COALESCE(name, '') || ' ' || COALESCE(description, '')));

COMMENT ON TABLE features IS 'Latents of a trained autoencoder that mean something.';
COMMENT ON COLUMN features.id IS 'From the block of ids that the extraction reserved.';
COMMENT ON COLUMN features.training_id IS 'The training whose autoencoder has it.';
COMMENT ON COLUMN features.neuron_index IS 'Which latent of the dictionary.';
COMMENT ON COLUMN features.layer IS 'The layer of the language model that it comes from.';
COMMENT ON COLUMN features.name IS 'Given by a person or made by a program.';
COMMENT ON COLUMN features.description IS 'What it stands for.';
COMMENT ON COLUMN features.activation_frequency IS '0 to 1: on how many tokens it is active.';
COMMENT ON COLUMN features.interpretability_score IS '0 to 1, scored by a program.';
COMMENT ON COLUMN features.max_activation_value IS 'The strongest activation seen.';
COMMENT ON COLUMN features.is_favorite IS 'Marked by a person.';
COMMENT ON COLUMN features.is_hidden IS 'Hidden by a person.';
COMMENT ON COLUMN features.created_at IS 'When it was extracted.';
COMMENT ON COLUMN features.updated_at IS 'When the last of its events was recorded.';
