-- How much larger tables are than their rows: an estimate from the statistics of the last ANALYZE.
-- Worry when: bloat_percent is above 50 in a table of more than 100 MB.
-- Then: VACUUM FULL it while trainmaster is stopped (it locks the table), or rebuild a read model: trainmaster projections rebuild.
SELECT schema_name, table_name, pg_size_pretty(bytes) AS size, pg_size_pretty(bloat_bytes) AS bloat, bloat_percent, bloat_bytes
  FROM monitoring.bloat
 ORDER BY bloat_bytes DESC
 LIMIT 20;
