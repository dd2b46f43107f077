-- What CREATE or REINDEX INDEX CONCURRENTLY leaves when it is interrupted: kept up to date, and of no use.
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND c.relkind = 'i'
   AND n.nspname !~ '^pg_'
   AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY 1
