DROP INDEX log.events_slurm_jobs;

DROP INDEX log.events_dispatch;
CREATE INDEX events_dispatch ON log.events (category, stream_id, version)
 WHERE type IN ('DatasetRegistered', 'DatasetDownloaded', 'DatasetTokenizationRequested', 'DatasetRetried', 'DatasetClaimed',
                'ModelRegistered', 'ModelDownloaded', 'ModelRetried', 'ModelClaimed',
                'TrainingQueued', 'TrainingResumed', 'TrainingRetried', 'TrainingClaimed',
                'JobQueued', 'JobRetried', 'JobClaimed',
                'PauseRequested', 'StopRequested', 'CancelRequested');
COMMENT ON INDEX log.events_dispatch IS 'What waits and what runs, without a look at metrics.';
