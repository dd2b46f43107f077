-- Tasks in the queue, by status.
-- Worry when: Pending tasks are older than a minute while the daemon runs.
-- Then: see what the daemon logs; reconciliation puts back what the queue has lost.
SELECT queue, status, tasks, round(oldest_seconds::numeric, 1) AS oldest_seconds FROM monitoring.queue ORDER BY queue, status;
