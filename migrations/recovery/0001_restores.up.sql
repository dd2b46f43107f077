-- That the log was taken back to an earlier state: what state directories have of a future that it does not know is put aside, once each.
CREATE SCHEMA recovery;
COMMENT ON SCHEMA recovery IS 'Restores of this database.';

CREATE TABLE recovery.restores (
    id text PRIMARY KEY,
    backup text NOT NULL,
    restored_to text NOT NULL,
    restored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recovery.restores IS 'A row a restore, written into the restored database before it takes the place of the live one.';
COMMENT ON COLUMN recovery.restores.id IS 'Unique. A state directory notes that of the latest restore that it has been compared after.';
COMMENT ON COLUMN recovery.restores.backup IS 'The backup that it was restored from.';
COMMENT ON COLUMN recovery.restores.restored_to IS 'The position of the last event.';
COMMENT ON COLUMN recovery.restores.restored_at IS 'When.';

GRANT USAGE ON SCHEMA recovery TO trainmaster_daemon;
GRANT SELECT ON recovery.restores TO trainmaster_daemon;
