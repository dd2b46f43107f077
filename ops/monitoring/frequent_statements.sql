-- The statements that take most time altogether, and how often they run (pg_stat_statements).
-- Worry when: one statement takes most of the time, or runs far more often than there is work.
-- Then: make it cheaper as for slow statements, or ask for it less often. SELECT monitoring.pg_stat_statements_reset() begins to count anew.
SELECT calls, round(total_ms::numeric, 2) AS total_ms, total_percent, round(mean_ms::numeric, 3) AS mean_ms,
       rows_returned, round(100.0 * blocks_hit / nullif(blocks_hit + blocks_read, 0), 2) AS hit_percent, left(query, 100) AS query
  FROM monitoring.statements
 ORDER BY total_ms DESC
 LIMIT 20;
