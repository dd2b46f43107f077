-- Ranges of 1,000 feature ids, named after the first of them. The ranges of further extractions are made with them.
CREATE TABLE feature_activations (
    id BIGSERIAL,
    feature_id BIGINT NOT NULL REFERENCES features (id) ON DELETE CASCADE,
    dataset_sample_id VARCHAR(255),
    sample_index INTEGER,
    tokens JSONB NOT NULL,
    activations JSONB NOT NULL,
    max_activation FLOAT NOT NULL,
    context_before TEXT,
    context_after TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id, feature_id)
) PARTITION BY RANGE (feature_id);

CREATE INDEX idx_feature_activations_feature ON feature_activations (feature_id);
CREATE INDEX idx_feature_activations_max_activation
    ON feature_activations (feature_id, max_activation DESC);

-- What belongs to no range: it must stay empty.
CREATE TABLE feature_activations_default PARTITION OF feature_activations DEFAULT;

-- The document's example: one autoencoder of 16,384 latents.
DO $$
BEGIN
    FOR first_id IN 0..16000 BY 1000 LOOP
        EXECUTE format(
            'CREATE TABLE feature_activations_%s PARTITION OF feature_activations FOR VALUES FROM (%s) TO (%s)',
            lpad(first_id::text, 5, '0'), first_id, first_id + 1000);
    END LOOP;
END
$$;

COMMENT ON TABLE feature_activations IS 'Where features are most active: their strongest examples, with the text around them.';
COMMENT ON COLUMN feature_activations.id IS 'Unique with feature_id.';
COMMENT ON COLUMN feature_activations.feature_id IS 'The feature; each partition holds 1,000 of these ids.';
COMMENT ON COLUMN feature_activations.dataset_sample_id IS 'The document of the dataset.';
COMMENT ON COLUMN feature_activations.sample_index IS 'Its number in the dataset.';
COMMENT ON COLUMN feature_activations.tokens IS 'The tokens, as an array of strings.';
COMMENT ON COLUMN feature_activations.activations IS 'The activation on each token, as an array of numbers.';
COMMENT ON COLUMN feature_activations.max_activation IS 'The strongest of them.';
COMMENT ON COLUMN feature_activations.context_before IS 'Text before the token of the strongest activation.';
COMMENT ON COLUMN feature_activations.context_after IS 'Text after it.';
COMMENT ON COLUMN feature_activations.created_at IS 'When it was attached.';
COMMENT ON TABLE feature_activations_default IS 'Activations of features outside every range: rows here mean that a partition is missing.';
