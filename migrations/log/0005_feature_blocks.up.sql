-- Ids of features are given out in blocks that begin at multiples of 1,000: no partition of feature_activations holds the features of
-- two trainings. The block stands in the event that asks for it, so a rebuild gives the same ids.
CREATE SEQUENCE log.feature_blocks AS bigint MINVALUE 0 START 0;
COMMENT ON SEQUENCE log.feature_blocks IS 'Thousands of feature ids that have been given out. A block that was given out and not used is a gap and nothing more.';

CREATE FUNCTION log.reserve_features(count bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    thousands bigint := greatest((count + 999) / 1000, 1);
    first bigint;
BEGIN
    -- Two blocks at once would overlap; a sequence cannot give out several numbers in a row.
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('log.feature_blocks', 0));
    first := pg_catalog.nextval('log.feature_blocks');
    PERFORM pg_catalog.setval('log.feature_blocks', first + thousands - 1);
    RETURN first * 1000;
END
$$;
COMMENT ON FUNCTION log.reserve_features(bigint) IS 'The first of so many ids of features that nothing else will get, a multiple of 1,000.';

REVOKE ALL ON FUNCTION log.reserve_features(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.reserve_features(bigint) TO trainmaster_daemon;
GRANT USAGE, UPDATE ON SEQUENCE log.feature_blocks TO trainmaster_daemon;
