-- Trainings on images and cross-validations wait as others do, and jobs of clusters are found by their last event.
DROP INDEX log.events_dispatch;
CREATE INDEX events_dispatch ON log.events (category, stream_id, version)
 WHERE type IN ('DatasetRegistered', 'DatasetDownloaded', 'DatasetTokenizationRequested', 'DatasetRetried', 'DatasetClaimed',
                'ModelRegistered', 'ModelDownloaded', 'ModelRetried', 'ModelClaimed',
                'TrainingQueued', 'SegmentationQueued', 'CrossValidationQueued',
                'TrainingResumed', 'TrainingRetried', 'TrainingClaimed',
                'JobQueued', 'JobRetried', 'JobClaimed',
                'PauseRequested', 'StopRequested', 'CancelRequested');
COMMENT ON INDEX log.events_dispatch IS 'What waits and what runs, without a look at metrics.';

CREATE INDEX events_slurm_jobs ON log.events (stream_id, version)
 WHERE category = 'slurm_job';
COMMENT ON INDEX log.events_slurm_jobs IS 'Which jobs of clusters have not ended.';
