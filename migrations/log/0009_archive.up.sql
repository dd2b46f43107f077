-- Closed segments leave the database: their events are in a file by then, which the daemon has written and read back.

CREATE FUNCTION log.archived_to() RETURNS bigint STABLE LANGUAGE sql
RETURN coalesce((SELECT max(to_transaction_id) FROM log.segments WHERE archived_at IS NOT NULL), 0);
COMMENT ON FUNCTION log.archived_to() IS 'Every event with a lower transaction_id is in the archive. The table keeps some of them: who asks it for all of the history asks from here on, in the same statement.';

-- What the database itself is asked about stays, in one small partition in the place of all that have left: whatever happens a few times in
-- the life of a stream, and of each stream the last event and the last metrics. So what waits, what refers to what, what has been
-- deleted is asked as before. Waits half a second at most for those who read at this moment, since whoever comes later waits behind it.
CREATE FUNCTION log.archive_segment(segment integer, file text, bytes bigint, sha256 bytea) RETURNS void LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    leaving log.segments;
    leaving_table text := 'events_' || segment;
    is_first boolean := to_regclass('log.archived_events') IS NULL;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('log.close_segment', 0));
    SELECT * INTO STRICT leaving FROM log.segments WHERE number = segment FOR UPDATE;
    IF leaving.closed_at IS NULL OR leaving.archived_at IS NOT NULL
        OR EXISTS (SELECT FROM log.segments s WHERE s.number < segment AND s.archived_at IS NULL)
    THEN
        RAISE EXCEPTION 'segment % of the log is not the next to leave: it is open, or has left, or an earlier one has not', segment
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format($query$
        CREATE TABLE log.staying AS
        SELECT e.* FROM log.%1$I e
        WHERE e.type <> ALL ('{MetricsRecorded,DatasetProgressed,ModelProgressed,JobProgressed,CheckpointSaved,TextGenerated,FeaturesExtracted,FeaturesLabelled,FeaturesScored,FeatureLabelled,FeatureFlagged}')
            OR (e.category, e.stream_id, e.version) IN (
                SELECT c.category, c.stream_id, c.version FROM log.closed_streams c WHERE c.segment = %2$s
                UNION ALL
                SELECT m.category, m.stream_id, max(m.version) FROM log.%1$I m WHERE m.type = 'MetricsRecorded' GROUP BY 1, 2)
        $query$, leaving_table, segment);
    IF is_first THEN
        CREATE TABLE log.archived_events (LIKE log.open_events INCLUDING ALL);
        COMMENT ON TABLE log.archived_events IS 'What the database is asked about of the segments that are in the archive. Not the whole of them.';
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.archived_events FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
        ALTER TABLE log.archived_events ENABLE ALWAYS TRIGGER append_only;
    END IF;
    LOCK TABLE ONLY log.events IN ACCESS EXCLUSIVE MODE;
    IF NOT is_first THEN
        ALTER TABLE log.events DETACH PARTITION log.archived_events;
    END IF;
    EXECUTE format('DROP TABLE log.%I', leaving_table);
    INSERT INTO log.archived_events SELECT * FROM log.staying;
    DROP TABLE log.staying;
    EXECUTE format('ALTER TABLE log.events ATTACH PARTITION log.archived_events FOR VALUES FROM (MINVALUE) TO (%s)', leaving.to_transaction_id);
    UPDATE log.segments s
    SET archived_at = clock_timestamp(), file = archive_segment.file, bytes = archive_segment.bytes, sha256 = archive_segment.sha256
    WHERE s.number = segment;
END $$;
COMMENT ON FUNCTION log.archive_segment IS 'To be called by the owner, when the segment''s file is written, synced and compared: takes its table out of the database, and notes the file, in one transaction. Fails with lock_not_available when others read for too long.';

REVOKE ALL ON FUNCTION log.archive_segment(integer, text, bigint, bytea) FROM PUBLIC;
