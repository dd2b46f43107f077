DROP INDEX log.events_jobs_of_training;
