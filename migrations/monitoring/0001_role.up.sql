-- Looking at the database without a right to change it, nor to read what events say.

CREATE SCHEMA monitoring;
COMMENT ON SCHEMA monitoring IS 'How the database does: views for people, dashboards and `trainmaster doctor --database`. Nothing here holds data.';

-- Roles belong to the whole cluster: another database may have made this one, perhaps at this moment. Where the owner may make no roles,
-- everything else works without it; `trainmaster database setup` and `trainmaster doctor --database` speak of it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'trainmaster_monitor') THEN
        CREATE ROLE trainmaster_monitor NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role trainmaster_monitor does not exist, and % may not create it', current_user;
END $$;

-- Without pg_monitor it would see its own sessions and statements only.
DO $$
BEGIN
    IF NOT pg_catalog.pg_has_role('trainmaster_monitor', 'pg_monitor', 'MEMBER') THEN
        GRANT pg_monitor TO trainmaster_monitor;
    END IF;
EXCEPTION
    -- The last two: somebody else does the same at this moment.
    WHEN undefined_object OR unique_violation OR internal_error THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role trainmaster_monitor is not a member of pg_monitor, and % may not make it one', current_user;
END $$;

-- In this schema, so that it goes with it; one that is there already stays where it is.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'pg_stat_statements' AND installed_version IS NULL) THEN
        BEGIN
            CREATE EXTENSION pg_stat_statements SCHEMA monitoring;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'the extension pg_stat_statements is available, and % may not create it', current_user;
        END;
    END IF;
END $$;
