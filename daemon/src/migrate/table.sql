CREATE SCHEMA IF NOT EXISTS migrations;
COMMENT ON SCHEMA migrations IS 'Which migrations this database has had.';
CREATE TABLE IF NOT EXISTS migrations.applied (
    set text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    program_version text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (set, number)
);
COMMENT ON TABLE migrations.applied IS 'One row for each migration that is applied.';
COMMENT ON COLUMN migrations.applied.set IS 'The folder of the migration: log, dispatch, projection…';
COMMENT ON COLUMN migrations.applied.number IS 'Its number within the set.';
COMMENT ON COLUMN migrations.applied.name IS 'Its file, without .up.sql.';
COMMENT ON COLUMN migrations.applied.checksum IS 'SHA-256 of its .up.sql.';
COMMENT ON COLUMN migrations.applied.program_version IS 'Version of the program that applied it.';
COMMENT ON COLUMN migrations.applied.applied_at IS 'When.';
