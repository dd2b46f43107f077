-- What trainmaster_monitor may see, in one place: a role that is made later is let in by the same call.
CREATE FUNCTION monitoring.admit() RETURNS boolean SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
DECLARE
    wanted record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trainmaster_monitor') THEN
        RETURN false;
    END IF;
    GRANT USAGE ON SCHEMA monitoring TO trainmaster_monitor;
    GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO trainmaster_monitor;
    -- Those behind the views; what an extension brings keeps its own rights.
    FOR wanted IN
        SELECT p.oid::regprocedure::text AS signature
          FROM pg_proc p
         WHERE p.pronamespace = 'monitoring'::regnamespace AND p.proretset
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE 'GRANT EXECUTE ON FUNCTION ' || wanted.signature || ' TO trainmaster_monitor';
    END LOOP;
    -- Read models, and the tables that they get later.
    FOR wanted IN
        SELECT quote_ident(o.schema_name) AS name FROM projection.offsets o WHERE to_regnamespace(quote_ident(o.schema_name)) IS NOT NULL
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO trainmaster_monitor', wanted.name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %s TO trainmaster_monitor', wanted.name);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON TABLES TO trainmaster_monitor', wanted.name);
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION monitoring.admit() IS 'Lets trainmaster_monitor read the views here and the read models; false where there is no such role. For the owner.';
REVOKE ALL ON FUNCTION monitoring.admit() FROM PUBLIC;
SELECT monitoring.admit();
