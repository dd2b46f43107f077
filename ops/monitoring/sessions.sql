-- Who is connected, by user, application and state.
-- Worry when: one application holds most connections, or stays idle in transaction.
-- Then: give that application a smaller pool and an idle_in_transaction_session_timeout.
SELECT user_name, database_name, application_name, state, sessions, round(longest_seconds::numeric, 1) AS longest_seconds
  FROM monitoring.sessions
 ORDER BY sessions DESC, longest_seconds DESC;
