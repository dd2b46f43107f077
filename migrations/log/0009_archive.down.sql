DO $$
DECLARE
    archived integer := (SELECT max(number) FROM log.segments WHERE archived_at IS NOT NULL);
BEGIN
    IF archived IS NOT NULL THEN
        RAISE EXCEPTION 'segments 1 to % of the log are files in the archive, which nothing could read without this migration', archived
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Stay at this version, or restore a backup from before they were archived.';
    END IF;
END $$;
DROP FUNCTION log.archive_segment(integer, text, bigint, bytea);
DROP FUNCTION log.archived_to();
