-- What read models need beside their own tables, which are exactly those of their documents.

CREATE TABLE projection.gaps (
    schema_name text NOT NULL,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    read_model text NOT NULL,
    event text NOT NULL,
    artifact text NOT NULL,
    reason text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, transaction_id, sequence)
);
COMMENT ON TABLE projection.gaps IS 'Artifacts that could not be imported: rows that a read model lacks. Building it anew tries them again.';
COMMENT ON COLUMN projection.gaps.schema_name IS 'The schema that lacks the rows.';
COMMENT ON COLUMN projection.gaps.transaction_id IS 'With sequence: the position of the event that names the artifact.';
COMMENT ON COLUMN projection.gaps.sequence IS 'With transaction_id: the position of the event that names the artifact.';
COMMENT ON COLUMN projection.gaps.read_model IS 'The read model.';
COMMENT ON COLUMN projection.gaps.event IS 'The type of that event.';
COMMENT ON COLUMN projection.gaps.artifact IS 'The path of the artifact.';
COMMENT ON COLUMN projection.gaps.reason IS 'What is wrong with it.';
COMMENT ON COLUMN projection.gaps.found_at IS 'When that was found.';

CREATE TABLE projection.feature_words (
    schema_name text NOT NULL,
    feature_id bigint NOT NULL,
    name text,
    description text,
    is_favorite boolean,
    is_hidden boolean,
    PRIMARY KEY (schema_name, feature_id)
);
COMMENT ON TABLE projection.feature_words IS 'What people said of features, so that what programs say later does not replace it.';
COMMENT ON COLUMN projection.feature_words.schema_name IS 'The schema with the table features.';
COMMENT ON COLUMN projection.feature_words.feature_id IS 'The feature.';
COMMENT ON COLUMN projection.feature_words.name IS 'The name that a person gave; NULL: none, or taken back.';
COMMENT ON COLUMN projection.feature_words.description IS 'The description that a person gave; NULL: none, or taken back.';
COMMENT ON COLUMN projection.feature_words.is_favorite IS 'The mark that a person set; NULL: never said.';
COMMENT ON COLUMN projection.feature_words.is_hidden IS 'The mark that a person set; NULL: never said.';

CREATE TABLE projection.imports (
    schema_name text PRIMARY KEY,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    first_id bigint NOT NULL,
    partitions bigint[] NOT NULL,
    gap text
);
COMMENT ON TABLE projection.imports IS 'Rows that wait in tables of their own until the event that brings them is applied.';
COMMENT ON COLUMN projection.imports.schema_name IS 'The schema that they are for, and in which they wait.';
COMMENT ON COLUMN projection.imports.transaction_id IS 'With sequence: the position of that event.';
COMMENT ON COLUMN projection.imports.sequence IS 'With transaction_id: the position of that event.';
COMMENT ON COLUMN projection.imports.first_id IS 'The serial id of the first row.';
COMMENT ON COLUMN projection.imports.partitions IS 'The first feature id of each partition that was prepared.';
COMMENT ON COLUMN projection.imports.gap IS 'What is wrong with the artifact; NULL: nothing.';
