-- How far each stream had got: what a chain of hashes cannot show is that its end, or all of it, is gone.

CREATE TABLE log.heads (
    category text NOT NULL,
    stream_id text NOT NULL,
    version bigint NOT NULL,
    hash bytea NOT NULL,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (category, stream_id, version)
);
CREATE INDEX heads_position ON log.heads (transaction_id, sequence);
COMMENT ON TABLE log.heads IS 'Versions that streams are known to have reached, noted now and then by log.note_heads(). Rows are inserted, never changed.';
COMMENT ON COLUMN log.heads.category IS 'The stream''s kind.';
COMMENT ON COLUMN log.heads.stream_id IS 'The stream.';
COMMENT ON COLUMN log.heads.version IS 'The version that it had reached.';
COMMENT ON COLUMN log.heads.hash IS 'The hash of that version''s event.';
COMMENT ON COLUMN log.heads.transaction_id IS 'With sequence: the position of that event.';
COMMENT ON COLUMN log.heads.sequence IS 'With transaction_id: the position of that event.';
COMMENT ON COLUMN log.heads.recorded_at IS 'When it was noted.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.heads FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
ALTER TABLE log.heads ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION log.note_heads(at_most bigint) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
    WITH noted AS (
        SELECT transaction_id, sequence FROM log.heads ORDER BY transaction_id DESC, sequence DESC LIMIT 1
    ), new AS (
        SELECT category, stream_id, version, hash, transaction_id, sequence FROM log.events
        WHERE (transaction_id, sequence) > (coalesce((SELECT transaction_id FROM noted), 0), coalesce((SELECT sequence FROM noted), 0))
            AND transaction_id < log.horizon()
        ORDER BY transaction_id, sequence
        LIMIT at_most
    ), written AS (
        INSERT INTO log.heads (category, stream_id, version, hash, transaction_id, sequence)
        SELECT DISTINCT ON (category, stream_id) category, stream_id, version, hash, transaction_id, sequence FROM new
        ORDER BY category, stream_id, version DESC
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM new;
END;
COMMENT ON FUNCTION log.note_heads IS 'Notes how far the streams of the next events have got, and says how many events those were: fewer than at_most when it has caught up.';

GRANT SELECT, INSERT ON log.heads TO trainmaster_daemon;
