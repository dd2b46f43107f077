ALTER TABLE projection.gaps ADD COLUMN training_id text;
COMMENT ON COLUMN projection.gaps.training_id IS 'The training that the artifact is about: once it is deleted, nothing is lacking.';
