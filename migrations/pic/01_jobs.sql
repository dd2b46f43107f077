CREATE TABLE jobs (
    id VARCHAR(36) PRIMARY KEY,
    -- The document does not say that SLURM gives a number once.
    sbatch_id VARCHAR(255) NOT NULL UNIQUE,
    -- DECIMAL(4,0) would take a negative number as well.
    fold_index DECIMAL(4,0) NOT NULL CHECK (fold_index BETWEEN 0 AND 9999),
    job_type VARCHAR(20) NOT NULL
        CHECK (job_type IN ('INFERENCE', 'TRAINING')),
    status VARCHAR(20) NOT NULL
        CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')),
    start_time TIMESTAMP NULL,
    end_time TIMESTAMP NULL,
    error_message TEXT NULL,
    sbatch_content TEXT NULL
);

CREATE INDEX idx_jobs_status ON jobs (status);

COMMENT ON TABLE jobs IS 'Jobs that SLURM took, and segmentations and predictions of this machine, which are jobs without SLURM. Times are UTC.';
COMMENT ON COLUMN jobs.id IS 'A UUID.';
COMMENT ON COLUMN jobs.sbatch_id IS 'SLURM''s number of the job, <array>_<task> for a task of an array; local:<training or prediction> for what runs on this machine.';
COMMENT ON COLUMN jobs.fold_index IS 'The fold of a cross-validation, from 0; 0 for what is none.';
COMMENT ON COLUMN jobs.job_type IS 'TRAINING or INFERENCE.';
COMMENT ON COLUMN jobs.status IS 'PENDING, RUNNING, COMPLETED or FAILED; PENDING again once SLURM has put it back into its queue.';
COMMENT ON COLUMN jobs.start_time IS 'When it began to run, by SLURM''s clock; of a job that was put back, when it last did.';
COMMENT ON COLUMN jobs.end_time IS 'When it ended, by SLURM''s clock.';
COMMENT ON COLUMN jobs.error_message IS 'Why it failed, with SLURM''s state of it.';
COMMENT ON COLUMN jobs.sbatch_content IS 'The script that was handed to sbatch; NULL for what runs on this machine.';
