-- What must not be deleted while something needs it, and what has been deleted. See daemon/src/log/guard.rs.
CREATE FUNCTION log.refers_to(payload jsonb) RETURNS text[] IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN ARRAY[
    'model ' || (payload ->> 'model_id'),
    'dataset ' || (payload ->> 'dataset_id'),
    'model ' || (payload #>> '{work,model_id}'),
    'dataset ' || (payload #>> '{work,dataset_id}'),
    'training ' || (payload #>> '{work,training_id}'),
    'training ' || (payload #>> '{work,intervention,training_id}')
];
COMMENT ON FUNCTION log.refers_to(jsonb) IS 'The streams that a training or job needs, by the payload of the event that queued it; NULL for what it does not name.';

CREATE INDEX events_references ON log.events USING gin (log.refers_to(payload)) WITH (fastupdate = off)
 WHERE type IN ('TrainingQueued', 'JobQueued');
COMMENT ON INDEX log.events_references IS 'Who needs a stream.';

CREATE INDEX events_deletions ON log.events (category, stream_id)
 WHERE type IN ('DatasetDeleted', 'ModelDeleted', 'TrainingDeleted');
COMMENT ON INDEX log.events_deletions IS 'What has been deleted.';

CREATE INDEX events_pruned ON log.events (stream_id) WHERE type = 'CheckpointPruned';
COMMENT ON INDEX log.events_pruned IS 'Checkpoints whose files are not kept any more.';
