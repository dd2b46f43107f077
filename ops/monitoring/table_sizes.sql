-- The largest tables, with their partitions, indexes and large values.
-- Worry when: a table has outgrown what its rows explain.
-- Then: feature_activations: lower retention.activations_top; training_metrics: lower retention.metrics_days; anything else: ops/monitoring/bloat.sql.
SELECT schema_name, table_name, partitions, estimated_rows, pg_size_pretty(table_bytes) AS "table", pg_size_pretty(index_bytes) AS indexes,
       pg_size_pretty(total_bytes) AS total, total_bytes
  FROM monitoring.table_sizes
 ORDER BY total_bytes DESC
 LIMIT 20;
