-- How large the databases are.
-- Worry when: it grows faster than the disk allows: compare with last week's figure.
-- Then: see ops/monitoring/table_sizes.sql for what grows, and `trainmaster retention plan` for what may go.
SELECT database_name, pg_size_pretty(bytes) AS size, bytes FROM monitoring.database_sizes ORDER BY bytes DESC;
