-- Notes how to make the keys of table $2 of schema $1, but for those named in $3, and answers with the statements that take them off.
-- Foreign keys come last when they are made, and first when they are taken off.
WITH keys AS (
    SELECT c.conname AS name, c.contype AS kind,
           CASE WHEN c.contype IN ('p', 'u') THEN pg_get_indexdef(c.conindid) END AS index_definition,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname,
               CASE c.contype WHEN 'p' THEN format('PRIMARY KEY USING INDEX %I', c.conname)
                              WHEN 'u' THEN format('UNIQUE USING INDEX %I', c.conname)
                              ELSE pg_get_constraintdef(c.oid) END) AS make_constraint,
           format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname) AS take_off
      FROM pg_constraint c
     WHERE c.conrelid = format('%I.%I', $1, $2)::regclass AND c.contype IN ('p', 'u', 'f') AND NOT c.conname = ANY ($3)
    UNION ALL
    SELECT i.relname, 'i', pg_get_indexdef(i.oid), NULL, format('DROP INDEX %I.%I', $1, i.relname)
      FROM pg_index x
      JOIN pg_class i ON i.oid = x.indexrelid
     WHERE x.indrelid = format('%I.%I', $1, $2)::regclass AND NOT i.relname = ANY ($3)
       AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = x.indrelid AND c.conindid = i.oid)
), noted AS (
    INSERT INTO projection.missing_keys (schema_name, ordinal, name, make_index, make_constraint)
    SELECT $1, (SELECT count(*) FROM projection.missing_keys m WHERE m.schema_name = $1) + row_number() OVER (ORDER BY kind = 'f', name),
           name, regexp_replace(index_definition, '^CREATE (UNIQUE )?INDEX', 'CREATE \1INDEX CONCURRENTLY'), make_constraint
      FROM keys
)
SELECT take_off FROM keys ORDER BY kind = 'f' DESC, name
