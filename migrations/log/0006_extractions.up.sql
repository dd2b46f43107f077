-- Another extraction of a training uses the block of ids of the first; there are few jobs, and many events.
CREATE INDEX events_jobs_of_training ON log.events ((payload -> 'work' ->> 'training_id'))
    WHERE category = 'job' AND type = 'JobQueued';
COMMENT ON INDEX log.events_jobs_of_training IS 'The jobs of a training.';
