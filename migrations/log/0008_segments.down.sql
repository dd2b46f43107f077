-- Back to one table. What has left the database cannot be brought back here.
DO $$
DECLARE
    archived integer := (SELECT max(number) FROM log.segments WHERE archived_at IS NOT NULL);
    next_sequence bigint := nextval('log.event_sequence');
    segment record;
    index record;
    current_names text[];
    former_names text[];
BEGIN
    IF archived IS NOT NULL THEN
        RAISE EXCEPTION 'segments 1 to % of the log are files in the archive, which nothing could read without this migration', archived
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Stay at this version, or restore a backup from before they were archived.';
    END IF;
    LOCK TABLE log.events IN ACCESS EXCLUSIVE MODE;
    SELECT array_agg(c.relname), array_agg(coalesce(whole.relname, CASE pg_get_indexdef(c.oid, 1, true)
            WHEN 'category' THEN 'events_stream_version' ELSE 'events_command' END))
      INTO current_names, former_names
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      LEFT JOIN pg_inherits ON inhrelid = c.oid
      LEFT JOIN pg_class whole ON whole.oid = inhparent
     WHERE i.indrelid = 'log.open_events'::regclass;
    DROP TRIGGER chain ON log.events;
    ALTER TABLE log.events DETACH PARTITION log.open_events;
    -- Their transaction ids, and so the order, stay.
    FOR segment IN SELECT number FROM log.segments WHERE closed_at IS NOT NULL ORDER BY number LOOP
        EXECUTE format('INSERT INTO log.open_events SELECT * FROM log.%I', 'events_' || segment.number);
    END LOOP;
    DROP FUNCTION log.note_heads;
    DROP TABLE log.events;
    ALTER TABLE log.open_events RENAME TO events;
    FOR i IN 1 .. cardinality(current_names) LOOP
        EXECUTE format('ALTER INDEX log.%I RENAME TO %I', current_names[i], former_names[i]);
    END LOOP;
    ALTER TABLE log.events ALTER COLUMN sequence DROP DEFAULT;
    ALTER TABLE log.events ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('log.events', 'sequence'), next_sequence, false);
END $$;
DROP SEQUENCE log.event_sequence;
COMMENT ON TABLE log.events IS 'Every event, for ever. Rows are inserted, never changed.';

DROP FUNCTION log.close_segment(), log.prepare_closing(bigint, boolean);

CREATE OR REPLACE FUNCTION log.chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    predecessor_transaction bigint;
    is_settled boolean;
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
    IF NEW.version = 1 THEN
        is_settled := EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id);
        NEW.previous_hash := '\x0000000000000000000000000000000000000000000000000000000000000000';
    ELSE
        SELECT e.hash, e.transaction_id, EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id)
        INTO NEW.previous_hash, predecessor_transaction, is_settled
        FROM log.events e
        WHERE e.category = NEW.category AND e.stream_id = NEW.stream_id AND e.version = NEW.version - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'version % of % % cannot be appended: there is no version % yet',
                NEW.version, NEW.category, NEW.stream_id, NEW.version - 1
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    -- The command was answered: nothing to do.
    IF is_settled THEN
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

CREATE OR REPLACE FUNCTION log.horizon() RETURNS bigint STABLE LANGUAGE sql
RETURN log.transaction_base() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

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
        INSERT INTO log.events AS e (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type,
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
    IF EXISTS (SELECT FROM log.events e WHERE e.command_id = command) THEN
        RETURN false;
    END IF;
    INSERT INTO log.settled_commands (command_id, category, stream_id, version)
    VALUES (command, stream_category, stream, current_version)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

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
CREATE TRIGGER chain BEFORE INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION log.chain();
DROP TABLE log.segments, log.closed_streams, log.closed_commands;
DROP FUNCTION log.command_key(text);
