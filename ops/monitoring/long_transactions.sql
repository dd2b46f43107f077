-- Open transactions, the oldest first.
-- Worry when: one is older than a minute: VACUUM removes nothing that it could see, and where holds_readers is true, projections and followers of the log wait for it.
-- Then: end it where it comes from, or SELECT pg_terminate_backend(pid); a prepared one: ROLLBACK PREPARED 'state'.
SELECT pid, user_name, application_name, state, round(seconds::numeric, 1) AS seconds, holds_readers, query
  FROM monitoring.long_transactions
 ORDER BY seconds DESC
 LIMIT 20;
