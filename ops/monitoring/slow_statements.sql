-- The statements that take longest on average (pg_stat_statements).
-- Worry when: a statement that runs often takes more than 100 ms.
-- Then: EXPLAIN (ANALYZE, BUFFERS) it; ANALYZE its tables; add an index, or raise work_mem where it sorts on disk. No rows at all: add pg_stat_statements to shared_preload_libraries.
SELECT calls, round(mean_ms::numeric, 2) AS mean_ms, round(max_ms::numeric, 2) AS max_ms, round(total_ms::numeric, 2) AS total_ms, total_percent,
       user_name, left(query, 100) AS query
  FROM monitoring.statements
 WHERE calls >= 5
 ORDER BY mean_ms DESC
 LIMIT 20;
