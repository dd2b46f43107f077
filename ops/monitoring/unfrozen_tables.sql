-- The tables with the oldest transaction ids.
-- Worry when: ops/monitoring/transaction_ids.sql is above 50 per cent.
-- Then: VACUUM (FREEZE) them, the oldest first.
SELECT schema_name, table_name, oldest_age, pg_size_pretty(bytes) AS size FROM monitoring.unfrozen_tables ORDER BY oldest_age DESC LIMIT 20;
