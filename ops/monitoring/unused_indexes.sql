-- Indexes that no query has used.
-- Worry when: a large one is unused after weeks, since unused_since.
-- Then: drop it if it is yours. Those of trainmaster's own tables serve searches that nobody has made yet: leave them.
SELECT schema_name, table_name, index_name, pg_size_pretty(bytes) AS size, bytes, unused_since
  FROM monitoring.unused_indexes
 ORDER BY bytes DESC
 LIMIT 50;
