-- The log in segments: appends go to the open one, and one that is closed never changes again, so that it can leave the database.
--
-- log.events becomes the whole of them, log.open_events the one that grows. The table that was there becomes the first segment as it is:
-- nothing is copied. Each segment has a range of transaction ids of its own, 2^42 long. Closing one raises log.transaction_base() to
-- the beginning of the next range while nobody appends; so every event of a later segment comes after every one of an earlier
-- segment, whatever transactions are open at that moment, and the range of a segment is known before its first event.

CREATE SEQUENCE log.event_sequence AS bigint;
COMMENT ON SEQUENCE log.event_sequence IS 'Numbers of events, whatever segment they are in.';
DO $$
DECLARE
    next_sequence bigint := nextval(pg_get_serial_sequence('log.events', 'sequence'));
    index record;
BEGIN
    PERFORM setval('log.event_sequence', next_sequence, false);
    ALTER TABLE log.events ALTER COLUMN sequence DROP IDENTITY;
    ALTER TABLE log.events ALTER COLUMN sequence SET DEFAULT nextval('log.event_sequence');
    DROP TRIGGER chain ON log.events;
    ALTER TABLE log.events RENAME TO open_events;
    FOR index IN SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'log.open_events'::regclass LOOP
        EXECUTE format('ALTER INDEX log.%I RENAME TO %I', index.relname, regexp_replace(index.relname, '^events', 'events_1'));
    END LOOP;
END $$;

CREATE TABLE log.events (LIKE log.open_events INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY RANGE (transaction_id);
ALTER TABLE log.events ADD CONSTRAINT events_position PRIMARY KEY (transaction_id, sequence);
COMMENT ON TABLE log.events IS 'Every event of the segments that are in the database. Rows are inserted (into log.open_events), never changed.';
COMMENT ON TABLE log.open_events IS 'The segment that events are appended to.';

-- The other indexes, which further segments get by themselves. Those that are unique cannot span segments: what they promise holds because of
-- log.closed_streams and log.closed_commands.
DO $$
DECLARE
    index record;
BEGIN
    FOR index IN
        SELECT c.relname, pg_get_indexdef(c.oid) AS definition, obj_description(c.oid, 'pg_class') AS comment
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = 'log.open_events'::regclass AND NOT i.indisunique
    LOOP
        EXECUTE replace(replace(index.definition, 'INDEX ' || index.relname || ' ON ', 'INDEX ' || replace(index.relname, 'events_1', 'events') || ' ON '),
            ' ON log.open_events ', ' ON ONLY log.events ');
        EXECUTE format('COMMENT ON INDEX log.%I IS %L', replace(index.relname, 'events_1', 'events'), index.comment);
    END LOOP;
END $$;

CREATE TABLE log.segments (
    number integer PRIMARY KEY CHECK (number > 0),
    from_transaction_id bigint NOT NULL,
    to_transaction_id bigint NOT NULL,
    base bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    events bigint NOT NULL DEFAULT 0,
    last_transaction_id bigint NOT NULL DEFAULT 0,
    last_sequence bigint NOT NULL DEFAULT 0,
    last_recorded_at timestamptz,
    closed_at timestamptz,
    archived_at timestamptz,
    file text,
    bytes bigint,
    sha256 bytea,
    CHECK ((archived_at IS NULL) = (file IS NULL) AND (file IS NULL) = (bytes IS NULL) AND (file IS NULL) = (sha256 IS NULL)),
    CHECK (archived_at IS NULL OR closed_at IS NOT NULL)
);
COMMENT ON TABLE log.segments IS 'The parts of the log, in its order. The last one is open; the first ones may have left the database as files.';
COMMENT ON COLUMN log.segments.number IS '1, 2, 3… A closed segment that is in the database is the table log.events_<number>.';
COMMENT ON COLUMN log.segments.from_transaction_id IS 'No event of it has a lower transaction_id.';
COMMENT ON COLUMN log.segments.to_transaction_id IS 'Every event of it has a lower transaction_id.';
COMMENT ON COLUMN log.segments.base IS 'What is, or was, added to the cluster''s transaction ids: log.transaction_base(), as whoever looks at this table sees it.';
COMMENT ON COLUMN log.segments.opened_at IS 'When appends began to go there.';
COMMENT ON COLUMN log.segments.events IS 'Its events; while it is open, those that log.prepare_closing() has looked at.';
COMMENT ON COLUMN log.segments.last_transaction_id IS 'With last_sequence: the position of the last of them.';
COMMENT ON COLUMN log.segments.last_sequence IS 'With last_transaction_id: the position of the last of them.';
COMMENT ON COLUMN log.segments.last_recorded_at IS 'The latest time at which one of them was appended.';
COMMENT ON COLUMN log.segments.closed_at IS 'Since when it does not change any more; none while it is open.';
COMMENT ON COLUMN log.segments.archived_at IS 'When it left the database; none while its events are there.';
COMMENT ON COLUMN log.segments.file IS 'The name of the file in the archive that holds it.';
COMMENT ON COLUMN log.segments.bytes IS 'The size of that file.';
COMMENT ON COLUMN log.segments.sha256 IS 'The SHA-256 of that file.';
INSERT INTO log.segments (number, from_transaction_id, to_transaction_id, base, opened_at)
-- A base that is above 0 already was raised after a restore, or by segments before this migration was taken back.
SELECT 1, 0, ((log.transaction_base() >> 42) + 1) << 42, log.transaction_base(), coalesce(min(recorded_at), clock_timestamp())
  FROM (SELECT recorded_at FROM log.open_events ORDER BY transaction_id, sequence LIMIT 1) AS first;
DO $$
BEGIN
    EXECUTE format('ALTER TABLE log.events ATTACH PARTITION log.open_events FOR VALUES FROM (MINVALUE) TO (%s)',
        (SELECT to_transaction_id FROM log.segments));
END $$;

CREATE TABLE log.closed_streams (
    category text NOT NULL,
    stream_id text NOT NULL,
    segment integer NOT NULL,
    first_version bigint NOT NULL,
    version bigint NOT NULL,
    hash bytea NOT NULL,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (category, stream_id, segment)
);
COMMENT ON TABLE log.closed_streams IS 'Which versions of a stream are in which segment, for those that are closed or are about to be: a stream goes on from there.';
COMMENT ON COLUMN log.closed_streams.category IS 'The stream''s kind.';
COMMENT ON COLUMN log.closed_streams.stream_id IS 'The stream.';
COMMENT ON COLUMN log.closed_streams.segment IS 'The segment.';
COMMENT ON COLUMN log.closed_streams.first_version IS 'The first version in it.';
COMMENT ON COLUMN log.closed_streams.version IS 'The last version in it.';
COMMENT ON COLUMN log.closed_streams.hash IS 'The hash of that version''s event.';
COMMENT ON COLUMN log.closed_streams.transaction_id IS 'With sequence: the position of that event.';
COMMENT ON COLUMN log.closed_streams.sequence IS 'With transaction_id: the position of that event.';

CREATE FUNCTION log.command_key(command_id text) RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN encode(substring(sha256(convert_to(command_id, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid;
COMMENT ON FUNCTION log.command_key(text) IS 'Half of the SHA-256 of a command''s id.';

CREATE TABLE log.closed_commands (
    key uuid PRIMARY KEY,
    transaction_id bigint NOT NULL
);
COMMENT ON TABLE log.closed_commands IS 'The commands whose events are in segments that are closed or are about to be: they are not accepted again.';
COMMENT ON COLUMN log.closed_commands.key IS 'log.command_key() of the command''s id.';
COMMENT ON COLUMN log.closed_commands.transaction_id IS 'The transaction that appended its events.';

-- As before, but for what is in closed segments. As long as there are none, log.transaction_base() tells the planner so.
CREATE OR REPLACE FUNCTION log.chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    predecessor_transaction bigint;
    is_known boolean;
    last_version bigint;
    command uuid;
BEGIN
    IF NEW.schema_version < 1 OR NEW.ordinal < 1 OR NEW.category = '' OR NEW.stream_id = '' OR NEW.type = '' OR NEW.command_id = ''
        OR NEW.causation_id = '' OR NEW.traceparent = ''
        -- The hash joins them by line breaks.
        OR pg_catalog.int4ne(0, pg_catalog.strpos(pg_catalog.concat(NEW.category, NEW.stream_id, NEW.type, NEW.command_id,
            NEW.correlation_id, NEW.causation_id, NEW.actor, NEW.traceparent), E'\n'))
    THEN
        RAISE EXCEPTION 'version % of % % has an empty value, a number below 1 or a line break in its metadata',
            NEW.version, NEW.category, NEW.stream_id
            USING ERRCODE = 'check_violation';
    END IF;
    -- Requests that repeat one command wait for each other here, and nobody else does.
    IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(NEW.command_id, 0)) THEN
        PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(NEW.command_id, 0));
    END IF;
    IF log.transaction_base() > 0 THEN
        command := log.command_key(NEW.command_id);
    END IF;
    IF NEW.version = 1 THEN
        is_known := EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id)
            OR log.transaction_base() > 0
                AND (EXISTS (SELECT FROM log.closed_commands c WHERE c.key = command)
                    OR EXISTS (SELECT FROM log.closed_streams c WHERE c.category = NEW.category AND c.stream_id = NEW.stream_id));
        NEW.previous_hash := '\x0000000000000000000000000000000000000000000000000000000000000000';
    ELSE
        SELECT e.hash, e.transaction_id,
            EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id)
            OR log.transaction_base() > 0
                AND EXISTS (SELECT FROM log.closed_commands c WHERE c.key = command)
        INTO NEW.previous_hash, predecessor_transaction, is_known
        FROM log.open_events e
        WHERE e.category = NEW.category AND e.stream_id = NEW.stream_id AND e.version = NEW.version - 1;
        IF NOT FOUND THEN
            -- Its predecessor may be the last one of a closed segment.
            SELECT c.hash, c.transaction_id, c.version,
                EXISTS (SELECT FROM log.closed_commands k WHERE k.key = command)
                OR EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id)
            INTO NEW.previous_hash, predecessor_transaction, last_version, is_known
            FROM log.closed_streams c
            WHERE c.category = NEW.category AND c.stream_id = NEW.stream_id
            ORDER BY c.segment DESC LIMIT 1;
            IF NOT FOUND OR last_version < NEW.version - 1 THEN
                RAISE EXCEPTION 'version % of % % cannot be appended: there is no version % yet',
                    NEW.version, NEW.category, NEW.stream_id, NEW.version - 1
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            -- This version is there already.
            is_known := is_known OR last_version >= NEW.version;
        END IF;
    END IF;
    -- The command was answered, or the stream has moved on: nothing to do.
    IF is_known THEN
        RETURN NULL;
    END IF;
    NEW.transaction_id := log.transaction_base() + pg_catalog.pg_current_xact_id()::text::bigint;
    -- A transaction that had its id before it looked at the stream, because it wrote something else first, would stand
    -- before the event that it follows.
    IF predecessor_transaction > NEW.transaction_id THEN
        RAISE EXCEPTION 'version % of % % was appended by a later transaction than the one that appends version %',
            NEW.version - 1, NEW.category, NEW.stream_id, NEW.version
            USING ERRCODE = 'serialization_failure', HINT = 'Try again in a new transaction.';
    END IF;
    -- It might not see what has been closed since it began.
    IF log.transaction_base() > 0
        AND pg_catalog.current_setting('transaction_isolation') <> 'read committed'
    THEN
        RAISE EXCEPTION 'events are appended by transactions of isolation level READ COMMITTED only'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    NEW.recorded_at := pg_catalog.clock_timestamp();
    NEW.hash := pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(E'\n',
        pg_catalog.encode(NEW.previous_hash, 'hex'),
        NEW.sequence,
        NEW.transaction_id,
        NEW.version,
        pg_catalog.encode(pg_catalog.timestamptz_send(NEW.recorded_at), 'hex'),
        NEW.schema_version,
        NEW.ordinal,
        NEW.category,
        NEW.stream_id,
        NEW.type,
        NEW.command_id,
        NEW.correlation_id,
        coalesce(NEW.causation_id, ''),
        NEW.actor,
        coalesce(NEW.traceparent, ''),
        NEW.payload), 'UTF8'));
    RETURN NEW;
END $$;
-- Each segment has it from here.
CREATE TRIGGER chain BEFORE INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION log.chain();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
ALTER TABLE log.events ENABLE ALWAYS TRIGGER append_only;

-- What a reader's snapshot says the base is: who does not see a segment's closing does not see the events after it either.
CREATE OR REPLACE FUNCTION log.horizon() RETURNS bigint STABLE LANGUAGE sql
RETURN (SELECT base FROM log.segments ORDER BY number DESC LIMIT 1) + pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

CREATE OR REPLACE FUNCTION log.continue_after_restore() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    -- The usual case, without a lock: every transaction so far has a lower number than the next one.
    SELECT max(transaction_id) INTO last FROM log.events;
    IF last IS NULL OR last < log.transaction_base() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN false;
    END IF;
    LOCK TABLE log.events IN SHARE ROW EXCLUSIVE MODE;
    SELECT max(transaction_id) INTO last FROM log.events;
    IF last < log.transaction_base() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION log.transaction_base() RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN %s::bigint', last);
    UPDATE log.segments SET base = last WHERE number = (SELECT max(number) FROM log.segments);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION log.append(
    stream_category text,
    stream text,
    expected_version bigint,
    command text,
    correlation text,
    causation text,
    sent_by text,
    trace text,
    types text[],
    schema_versions integer[],
    payloads jsonb[],
    tasks jsonb[],
    not_befores timestamptz[],
    OUT appended boolean,
    OUT transaction_id bigint,
    OUT sequences bigint[],
    OUT times timestamptz[]
) LANGUAGE plpgsql AS $$
DECLARE
    one_sequence bigint;
    one_time timestamptz;
BEGIN
    appended := false;
    FOR i IN 1 .. cardinality(types) LOOP
        -- When the first event goes in, nobody else has this command or this version, so the others go in as well.
        INSERT INTO log.open_events AS e (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type,
            command_id, correlation_id, causation_id, actor, traceparent, payload, previous_hash, hash)
        VALUES (0, expected_version + i, '-infinity', schema_versions[i], i, stream_category, stream, types[i],
            command, correlation, causation, sent_by, trace, payloads[i], '', '')
        ON CONFLICT DO NOTHING
        RETURNING e.transaction_id, e.sequence, e.recorded_at INTO append.transaction_id, one_sequence, one_time;
        IF NOT FOUND THEN
            IF i = 1 THEN
                RETURN;
            END IF;
            RAISE EXCEPTION 'event % of command % collides with another event', i, command
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        sequences[i] := one_sequence;
        times[i] := one_time;
        IF tasks[i] IS NOT NULL THEN
            INSERT INTO log.outbox (transaction_id, sequence, category, stream_id, task, not_before, correlation_id, traceparent)
            VALUES (append.transaction_id, one_sequence, stream_category, stream, tasks[i], not_befores[i], correlation, trace);
        END IF;
    END LOOP;
    appended := true;
END $$;

CREATE OR REPLACE FUNCTION log.settle(stream_category text, stream text, current_version bigint, command text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- As in log.chain().
    PERFORM pg_advisory_xact_lock(hashtextextended(command, 0));
    IF EXISTS (SELECT FROM log.open_events e WHERE e.command_id = command)
        OR EXISTS (SELECT FROM log.closed_commands c WHERE c.key = log.command_key(command))
    THEN
        RETURN false;
    END IF;
    INSERT INTO log.settled_commands (command_id, category, stream_id, version)
    VALUES (command, stream_category, stream, current_version)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION log.note_heads(at_most bigint) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
    WITH noted AS (
        SELECT transaction_id, sequence FROM log.heads ORDER BY transaction_id DESC, sequence DESC LIMIT 1
    ), new AS (
        SELECT category, stream_id, version, hash, transaction_id, sequence FROM log.events
        WHERE (transaction_id, sequence) > (coalesce((SELECT transaction_id FROM noted), 0), coalesce((SELECT sequence FROM noted), 0))
            AND transaction_id < (SELECT log.horizon())
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

-- Most of what closing has to write down is written beforehand, while everybody appends: it is true from then on, and closing takes a moment.
CREATE FUNCTION log.prepare_closing(at_most bigint, to_the_end boolean DEFAULT false) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    opened log.segments;
    horizon bigint := CASE WHEN to_the_end THEN 9223372036854775807 ELSE log.horizon() END;
    noted bigint;
BEGIN
    SELECT * INTO STRICT opened FROM log.segments ORDER BY number DESC LIMIT 1 FOR UPDATE;
    WITH new AS MATERIALIZED (
        SELECT category, stream_id, version, hash, transaction_id, sequence, command_id, recorded_at FROM log.open_events
        WHERE (transaction_id, sequence) > (opened.last_transaction_id, opened.last_sequence) AND transaction_id < horizon
        ORDER BY transaction_id, sequence
        LIMIT at_most
    ), commands AS (
        INSERT INTO log.closed_commands (key, transaction_id)
        SELECT DISTINCT log.command_key(command_id), transaction_id FROM new
        ON CONFLICT DO NOTHING
    ), streams AS (
        INSERT INTO log.closed_streams AS known (category, stream_id, segment, first_version, version, hash, transaction_id, sequence)
        SELECT DISTINCT ON (category, stream_id) category, stream_id, opened.number,
            min(version) OVER (PARTITION BY category, stream_id), version, hash, transaction_id, sequence
        FROM new
        ORDER BY category, stream_id, version DESC
        ON CONFLICT (category, stream_id, segment) DO UPDATE
        SET version = excluded.version, hash = excluded.hash, transaction_id = excluded.transaction_id, sequence = excluded.sequence
    ), summed AS (
        UPDATE log.segments
        SET events = segments.events + new.events, last_transaction_id = new.last_transaction_id, last_sequence = new.last_sequence,
            last_recorded_at = greatest(segments.last_recorded_at, new.last_recorded_at)
        FROM (SELECT count(*) AS events, max(recorded_at) AS last_recorded_at,
                (array_agg(transaction_id ORDER BY transaction_id DESC, sequence DESC))[1] AS last_transaction_id,
                (array_agg(sequence ORDER BY transaction_id DESC, sequence DESC))[1] AS last_sequence
              FROM new) AS new
        WHERE segments.number = opened.number AND new.events > 0
    )
    SELECT count(*) INTO noted FROM new;
    RETURN noted;
END $$;
COMMENT ON FUNCTION log.prepare_closing IS 'Writes down the streams and commands of the next events of the open segment, and says how many events those were: fewer than at_most when it has caught up.';

-- Waits half a second at most for those who read or append at this moment, since whoever comes later waits behind it.
CREATE FUNCTION log.close_segment() RETURNS integer LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    opened log.segments;
    following integer;
    following_table text;
    lower bigint;
    options text[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('log.close_segment', 0));
    SELECT * INTO STRICT opened FROM log.segments ORDER BY number DESC LIMIT 1;
    IF NOT EXISTS (SELECT FROM log.open_events) THEN
        RETURN NULL;
    END IF;
    following := opened.number + 1;
    following_table := 'events_' || following;
    lower := opened.to_transaction_id;
    EXECUTE format('CREATE TABLE log.%I (LIKE log.open_events INCLUDING ALL)', following_table);
    EXECUTE format('COMMENT ON TABLE log.%I IS %L', following_table, obj_description('log.open_events'::regclass, 'pg_class'));
    SELECT reloptions INTO options FROM pg_class WHERE oid = 'log.open_events'::regclass;
    IF options IS NOT NULL THEN
        EXECUTE format('ALTER TABLE log.%I SET (%s)', following_table, array_to_string(options, ', '));
    END IF;
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.%I FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()', following_table);
    EXECUTE format('ALTER TABLE log.%I ENABLE ALWAYS TRIGGER append_only', following_table);
    EXECUTE format('ALTER TABLE log.events ATTACH PARTITION log.%I FOR VALUES FROM (%s) TO (%s)', following_table, lower, lower + (1::bigint << 42));
    -- Whoever has appended has ended, and nobody appends.
    LOCK TABLE log.open_events IN ACCESS EXCLUSIVE MODE;
    PERFORM log.prepare_closing(NULL, true);
    REVOKE INSERT ON log.open_events FROM trainmaster_daemon;
    EXECUTE format('COMMENT ON TABLE log.open_events IS %L', format('Segment %s of the log, which is closed.', opened.number));
    EXECUTE format('ALTER TABLE log.open_events RENAME TO %I', 'events_' || opened.number);
    EXECUTE format('ALTER TABLE log.%I RENAME TO open_events', following_table);
    GRANT SELECT, INSERT ON log.open_events TO trainmaster_daemon;
    EXECUTE format('CREATE OR REPLACE FUNCTION log.transaction_base() RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN %s::bigint', lower);
    UPDATE log.segments SET closed_at = clock_timestamp() WHERE number = opened.number;
    INSERT INTO log.segments (number, from_transaction_id, to_transaction_id, base) VALUES (following, lower, lower + (1::bigint << 42), lower);
    RETURN opened.number;
END $$;
COMMENT ON FUNCTION log.close_segment() IS 'To be called by the owner: closes the open segment, opens the next one and says the number of the closed one; NULL when there is nothing in it. Fails with lock_not_available when others read or append for too long.';

REVOKE ALL ON FUNCTION log.prepare_closing(bigint, boolean), log.close_segment() FROM PUBLIC;
GRANT SELECT ON log.events, log.segments, log.closed_streams, log.closed_commands TO trainmaster_daemon;
GRANT USAGE ON SEQUENCE log.event_sequence TO trainmaster_daemon;
