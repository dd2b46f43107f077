-- Tables of this user, those that grew dead rows first. A partitioned one is its partitions.
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'm')
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY coalesce(s.n_dead_tup, 0) DESC, 1
