CREATE TABLE inference (
    predict_id VARCHAR(36) PRIMARY KEY,
    model_id VARCHAR(36) NOT NULL
        REFERENCES model (id),
    job_id VARCHAR(36) NULL
        REFERENCES jobs (id),
    input_data JSONB NOT NULL,
    output_dir VARCHAR(500) NULL,
    prediction JSONB NULL,
    status VARCHAR(20) NOT NULL
        CHECK (status IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED')),
    start_time TIMESTAMP NULL,
    end_time TIMESTAMP NULL,
    error_message TEXT NULL,
    created_at TIMESTAMP DEFAULT NOW(),
    updated_at TIMESTAMP DEFAULT NOW()
);

CREATE INDEX idx_inference_status ON inference (status);

COMMENT ON TABLE inference IS 'Predictions that a model was asked for. Times are UTC.';
COMMENT ON COLUMN inference.predict_id IS 'The job that predicts, as trainmaster names it.';
COMMENT ON COLUMN inference.model_id IS 'Which model.';
COMMENT ON COLUMN inference.job_id IS 'The last job that was submitted for it; NULL until there is one.';
COMMENT ON COLUMN inference.input_data IS 'What it was asked to look at.';
COMMENT ON COLUMN inference.output_dir IS 'The directory of the files that it makes.';
COMMENT ON COLUMN inference.prediction IS 'A summary of what it found; the files are in output_dir.';
COMMENT ON COLUMN inference.status IS 'PENDING, PROCESSING, COMPLETED or FAILED.';
COMMENT ON COLUMN inference.start_time IS 'When it began to predict.';
COMMENT ON COLUMN inference.end_time IS 'When it became COMPLETED or FAILED; NULL again once it is tried again.';
COMMENT ON COLUMN inference.error_message IS 'Why it failed; kept while it waits for another attempt.';
COMMENT ON COLUMN inference.created_at IS 'When it was asked for.';
COMMENT ON COLUMN inference.updated_at IS 'When the last of its events was recorded.';
