ALTER TABLE projection.gaps DROP COLUMN training_id;
