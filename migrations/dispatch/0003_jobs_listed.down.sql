DROP INDEX log.events_jobs_queued;
