-- Tasks that wait to be moved into the queue.
-- Worry when: oldest_due_seconds is above 30: the relay moves a task within milliseconds.
-- Then: see whether the daemon runs and what it logs (journalctl -u trainmaster).
SELECT waiting, due, round(oldest_due_seconds::numeric, 1) AS oldest_due_seconds FROM monitoring.outbox;
