-- Jobs are listed from the log, the newest first, a page at a time.
CREATE INDEX events_jobs_queued ON log.events (transaction_id DESC, sequence DESC)
 WHERE category = 'job' AND type = 'JobQueued';
COMMENT ON INDEX log.events_jobs_queued IS 'The list of jobs, from any of its pages.';
