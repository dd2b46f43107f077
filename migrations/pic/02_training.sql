CREATE TABLE training (
    id VARCHAR(36) PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    images_path VARCHAR(500) NULL,
    labels_path VARCHAR(500) NULL,
    model_path VARCHAR(500) NULL,
    -- The document's diagram has a job for a training, and a training for a job.
    job_id VARCHAR(36) NOT NULL UNIQUE
        REFERENCES jobs (id),
    status VARCHAR(20) NOT NULL
        CHECK (status IN ('TRAINING', 'TRAINED', 'FAILED')),
    progress FLOAT DEFAULT 0.0,
    start_time TIMESTAMP NULL,
    end_time TIMESTAMP NULL
);

CREATE INDEX idx_training_status ON training (status);

COMMENT ON TABLE training IS 'Trainings of segmentations, and of autoencoders where SLURM runs them. Times are UTC.';
COMMENT ON COLUMN training.id IS 'seg_… or tr_…';
COMMENT ON COLUMN training.name IS 'What people call it.';
COMMENT ON COLUMN training.images_path IS 'The directory of images; NULL for an autoencoder.';
COMMENT ON COLUMN training.labels_path IS 'The directory of labels; NULL for an autoencoder.';
COMMENT ON COLUMN training.model_path IS 'Where the trained model goes.';
COMMENT ON COLUMN training.job_id IS 'The last job that was submitted for it.';
COMMENT ON COLUMN training.status IS 'TRAINING from its submission on, also while it waits or rests; TRAINED; FAILED, also when it was stopped.';
COMMENT ON COLUMN training.progress IS '0 to 100: the last recorded step of all steps.';
COMMENT ON COLUMN training.start_time IS 'When it was first submitted.';
COMMENT ON COLUMN training.end_time IS 'When it became TRAINED or FAILED; NULL again once it is tried again.';
