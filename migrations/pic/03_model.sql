CREATE TABLE model (
    id VARCHAR(36) PRIMARY KEY,
    training_id VARCHAR(36) NOT NULL
        REFERENCES training (id),
    model_name VARCHAR(255) NOT NULL,
    created_at TIMESTAMP NULL
);

COMMENT ON TABLE model IS 'Models that trainings have produced. Times are UTC.';
COMMENT ON COLUMN model.id IS 'A UUID.';
COMMENT ON COLUMN model.training_id IS 'Which training.';
COMMENT ON COLUMN model.model_name IS '<name of the training>_model.';
COMMENT ON COLUMN model.created_at IS 'When it was produced.';
