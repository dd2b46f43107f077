-- Who waits for a lock, and for whom.
-- Worry when: somebody has waited for longer than a few seconds.
-- Then: find what blocked_by does in ops/monitoring/long_transactions.sql and end it.
SELECT pid, user_name, application_name, round(seconds::numeric, 1) AS seconds, kind, mode, relation, blocked_by, query
  FROM monitoring.waiting_locks
 ORDER BY seconds DESC;
