-- Of the submissions $1, those of which every SLURM job has ended, and every run is gone.
SELECT i.payload ->> 'submission_id'
  FROM log.events i
 CROSS JOIN LATERAL (
       SELECT EXISTS (SELECT FROM log.events e
                       WHERE e.category = 'slurm_job' AND e.stream_id = i.stream_id
                         AND e.type IN ('SlurmSubmissionRefused', 'SlurmJobCompleted', 'SlurmJobFailed')
                         AND NOT EXISTS (SELECT FROM log.events back
                                          WHERE back.category = 'slurm_job' AND back.stream_id = i.stream_id
                                            AND back.type = 'SlurmJobRequeued' AND back.version > e.version)) AS has_ended,
              i.payload #>> '{run,category}' AS category,
              i.payload #>> '{run,id}' AS run) job
 WHERE i.type = 'SlurmSubmissionIntended'
   AND i.payload ->> 'submission_id' = ANY ($1)
 GROUP BY 1
HAVING bool_and(job.has_ended
       AND NOT EXISTS (SELECT FROM dispatch.runs r
                        WHERE r.category = job.category AND r.id = job.run AND r.ended_at IS NULL)
       AND (EXISTS (SELECT FROM log.events gone
                     WHERE gone.category = job.category AND gone.stream_id = job.run AND gone.type = 'TrainingDeleted')
            OR EXISTS (SELECT FROM log.events done
                        WHERE job.category = 'job' AND done.category = 'job' AND done.stream_id = job.run
                          AND done.type IN ('JobCompleted', 'JobCancelled'))
            OR EXISTS (SELECT FROM log.events queued
                         JOIN log.events gone
                           ON gone.category = 'training' AND gone.type = 'TrainingDeleted'
                          AND gone.stream_id = queued.payload #>> '{work,training_id}'
                        WHERE job.category = 'job' AND queued.category = 'job' AND queued.stream_id = job.run
                          AND queued.version = 1)))
