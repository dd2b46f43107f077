DROP FUNCTION log.reserve_features(bigint);
DROP SEQUENCE log.feature_blocks;
