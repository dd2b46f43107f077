-- How far each read model has come. The rows of a read model and its offset change in one transaction, so each event
-- counts once. Nothing here is truth: without it, read models are built anew.

CREATE SCHEMA projection;
COMMENT ON SCHEMA projection IS 'How far each read model has come in the log.';

CREATE TABLE projection.offsets (
    schema_name text PRIMARY KEY,
    read_model text NOT NULL,
    version text NOT NULL,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    events bigint NOT NULL,
    serials jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stopped_at timestamptz,
    stopped_because text,
    CONSTRAINT offsets_stopped CHECK ((stopped_at IS NULL) = (stopped_because IS NULL))
);
COMMENT ON TABLE projection.offsets IS 'A row a schema that holds a read model: the one that is read, and one that is being built beside it.';
COMMENT ON COLUMN projection.offsets.schema_name IS 'The schema: the read model''s name, or <name>_next while it is built anew.';
COMMENT ON COLUMN projection.offsets.read_model IS 'The read model.';
COMMENT ON COLUMN projection.offsets.version IS 'Of the code and the DDL that made the rows; another version builds them anew.';
COMMENT ON COLUMN projection.offsets.transaction_id IS 'With sequence: the position in the log of the last event that the rows contain.';
COMMENT ON COLUMN projection.offsets.sequence IS 'With transaction_id: the position in the log of the last event that the rows contain.';
COMMENT ON COLUMN projection.offsets.events IS 'Events that the rows contain.';
COMMENT ON COLUMN projection.offsets.serials IS 'The next serial id of each table that has one.';
COMMENT ON COLUMN projection.offsets.created_at IS 'When its tables were made.';
COMMENT ON COLUMN projection.offsets.updated_at IS 'When the last events were applied.';
COMMENT ON COLUMN projection.offsets.stopped_at IS 'When it stopped at an event that cannot be applied; NULL while all is well.';
COMMENT ON COLUMN projection.offsets.stopped_because IS 'What is wrong with that event.';
