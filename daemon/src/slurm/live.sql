-- Jobs that have not ended: those whose last event says so.
SELECT events.stream_id
  FROM log.events
 WHERE events.category = 'slurm_job'
   AND events.type NOT IN ('SlurmSubmissionRefused', 'SlurmJobCompleted', 'SlurmJobFailed')
   AND NOT EXISTS (SELECT FROM log.events AS later
                    WHERE later.category = 'slurm_job'
                      AND later.stream_id = events.stream_id
                      AND later.version > events.version)
