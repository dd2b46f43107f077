-- Rows that are gone but still take room.
-- Worry when: dead_percent is above 20 in a table of more than 10,000 rows, and last_vacuum is hours ago.
-- Then: VACUUM (ANALYZE) the table; look for what keeps rows alive in ops/monitoring/long_transactions.sql; see whether autovacuum is on.
SELECT schema_name, table_name, live_rows, dead_rows, dead_percent, last_vacuum, last_analyze
  FROM monitoring.dead_rows
 ORDER BY dead_rows DESC
 LIMIT 20;
