-- What has no table of its own is listed from the log, the newest first, a page at a time; models of images are found by id or name.
CREATE INDEX events_begun ON log.events (type, transaction_id DESC, sequence DESC)
 WHERE type IN ('SegmentationQueued', 'CrossValidationQueued', 'SlurmSubmissionIntended', 'ModelProduced');
COMMENT ON INDEX log.events_begun IS 'Lists of segmentations, cross-validations, SLURM jobs and models, from any of their pages.';
