-- information_schema shows constraints to those alone who hold a right beside SELECT. REFERENCES on a column that is no key is one that
-- nobody can use: a foreign key takes a unique index on the very column. Partitions are shown by their parent.
DO $$
DECLARE
    schema_name text := current_setting('projector.schema');
    reader text := current_setting('projector.role');
    harmless record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        FOR harmless IN
            SELECT DISTINCT ON (c.oid) c.relname, a.attname
              FROM pg_class c
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = schema_name::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey))
             ORDER BY c.oid, a.attnum
        LOOP
            EXECUTE format('GRANT REFERENCES (%I) ON %I.%I TO %I', harmless.attname, schema_name, harmless.relname, reader);
        END LOOP;
    END IF;
END
$$;
