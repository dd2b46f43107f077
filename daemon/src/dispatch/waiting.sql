-- What waits for a worker: every stream whose last event says so. Oldest first. What the outbox still holds comes by itself.
SELECT events.category,
       events.stream_id,
       events.correlation_id,
       events.traceparent,
       events.transaction_id::text || '-' || events.sequence AS causation_id,
       -- What is further off than any back-off was said by a clock that was wrong.
       CASE WHEN (events.payload ->> 'not_before')::timestamptz <= now() + interval '1 day'
            THEN extract(epoch FROM (events.payload ->> 'not_before')::timestamptz - now())::float8 END AS due_in
  FROM log.events
 WHERE events.type IN ('DatasetRegistered', 'DatasetDownloaded', 'DatasetTokenizationRequested', 'DatasetRetried',
                       'ModelRegistered', 'ModelDownloaded', 'ModelRetried',
                       'TrainingQueued', 'SegmentationQueued', 'CrossValidationQueued', 'TrainingResumed', 'TrainingRetried', 'StopRequested',
                       'JobQueued', 'JobRetried')
   AND NOT EXISTS (SELECT FROM log.events AS later
                    WHERE later.category = events.category
                      AND later.stream_id = events.stream_id
                      AND later.version > events.version)
   AND NOT EXISTS (SELECT FROM log.outbox
                    WHERE outbox.category = events.category
                      AND outbox.stream_id = events.stream_id)
 ORDER BY events.transaction_id, events.sequence
