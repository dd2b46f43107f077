DO $$
DECLARE
    reader text := current_setting('projector.role');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', reader);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- made by somebody else at this moment
        END;
    END IF;
    -- So that the queries of its document run as written, whoever logs in by this role.
    IF NOT EXISTS (
        SELECT FROM pg_db_role_setting s
          JOIN pg_roles r ON r.oid = s.setrole
          JOIN pg_database d ON d.oid = s.setdatabase
         WHERE r.rolname = reader AND d.datname = current_database()
           AND EXISTS (SELECT FROM unnest(s.setconfig) AS setting WHERE setting LIKE 'search_path=%')
    ) THEN
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I', reader, current_database(), reader);
    END IF;
END
$$;
