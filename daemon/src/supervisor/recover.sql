-- Claims that are the last word on who works on a stream, and that dispatch.runs does not know. Those of living daemons are given
-- time to be written down.
SELECT events.category, events.stream_id, events.recorded_at, workers.state_directory
  FROM log.events
  LEFT JOIN dispatch.workers ON workers.worker_id = events.payload ->> 'worker_id'
 WHERE events.type IN ('DatasetClaimed', 'ModelClaimed', 'TrainingClaimed', 'JobClaimed')
   AND NOT EXISTS (SELECT FROM log.events AS later
                    WHERE later.category = events.category
                      AND later.stream_id = events.stream_id
                      AND later.version > events.version
                      AND later.type IN ('DatasetRetried', 'DatasetClaimed', 'ModelRetried', 'ModelClaimed',
                                         'TrainingResumed', 'TrainingRetried', 'TrainingClaimed',
                                         'JobRetried', 'JobClaimed'))
   AND NOT EXISTS (SELECT FROM dispatch.runs
                    WHERE runs.category = events.category
                      AND runs.id = events.stream_id
                      AND runs.lease >= (events.payload ->> 'lease')::bigint)
   AND (   workers.worker_id = $1
        OR (workers.host = $2 AND workers.state_directory = $3)
        OR events.recorded_at < now() - make_interval(secs => $4))
