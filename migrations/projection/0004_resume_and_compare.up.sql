-- What a rebuild has still to do when it goes on after an interruption, and what comparing has found.

CREATE TABLE projection.missing_keys (
    schema_name text NOT NULL,
    ordinal integer NOT NULL,
    name text NOT NULL,
    make_index text,
    make_constraint text,
    PRIMARY KEY (schema_name, ordinal),
    CONSTRAINT missing_keys_make CHECK (num_nonnulls(make_index, make_constraint) > 0)
);
COMMENT ON TABLE projection.missing_keys IS 'Indexes and constraints that the tables of a schema do without until they have caught up with the log.';
COMMENT ON COLUMN projection.missing_keys.schema_name IS 'The schema that is being built.';
COMMENT ON COLUMN projection.missing_keys.ordinal IS 'The order in which they are made.';
COMMENT ON COLUMN projection.missing_keys.name IS 'The name of the index, or of the constraint and its index.';
COMMENT ON COLUMN projection.missing_keys.make_index IS 'The statement that makes the index; NULL: a foreign key, which has none.';
COMMENT ON COLUMN projection.missing_keys.make_constraint IS 'The statement that makes the constraint; NULL: an index that is none.';

CREATE TABLE projection.differences (
    read_model text NOT NULL,
    table_name text NOT NULL,
    live_rows bigint NOT NULL,
    built_rows bigint NOT NULL,
    first_id text,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    mended boolean NOT NULL,
    PRIMARY KEY (read_model, table_name)
);
COMMENT ON TABLE projection.differences IS 'Where the tables in use were not what the events make, when they were last compared. There should be none.';
COMMENT ON COLUMN projection.differences.read_model IS 'The read model.';
COMMENT ON COLUMN projection.differences.table_name IS 'The table.';
COMMENT ON COLUMN projection.differences.live_rows IS 'Rows of the table in use.';
COMMENT ON COLUMN projection.differences.built_rows IS 'Rows that the events make.';
COMMENT ON COLUMN projection.differences.first_id IS 'The first id whose rows differ; NULL: not known.';
COMMENT ON COLUMN projection.differences.transaction_id IS 'With sequence: the position at which both stood.';
COMMENT ON COLUMN projection.differences.sequence IS 'With transaction_id: the position at which both stood.';
COMMENT ON COLUMN projection.differences.found_at IS 'When they were compared.';
COMMENT ON COLUMN projection.differences.mended IS 'Whether the tables in use were replaced right after.';

ALTER TABLE projection.offsets
    ADD COLUMN stopped_transaction_id bigint,
    ADD COLUMN stopped_sequence bigint;
COMMENT ON COLUMN projection.offsets.stopped_transaction_id IS 'With stopped_sequence: the position of the event that cannot be applied, when one is to blame.';
COMMENT ON COLUMN projection.offsets.stopped_sequence IS 'With stopped_transaction_id: the position of the event that cannot be applied, when one is to blame.';
