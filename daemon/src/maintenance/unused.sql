-- A unique index guards, whether it is read or not.
SELECT format('%I.%I', s.schemaname, s.indexrelname)
  FROM pg_stat_user_indexes s
  JOIN pg_index i ON i.indexrelid = s.indexrelid
 WHERE s.idx_scan = 0 AND NOT i.indisunique AND pg_relation_size(s.indexrelid) > 1048576
 ORDER BY pg_relation_size(s.indexrelid) DESC, 1
 LIMIT 100
