-- Some of what needs the stream $1 ('model m_1', say): trainings that are there, and jobs that are not done.
SELECT needing.category || ' ' || needing.stream_id
  FROM log.events AS needing
 WHERE needing.type IN ('TrainingQueued', 'JobQueued')
   AND log.refers_to(needing.payload) @> ARRAY[$1]
   AND CASE needing.category
       WHEN 'training' THEN
            NOT EXISTS (SELECT FROM log.events AS gone
                         WHERE gone.category = 'training'
                           AND gone.stream_id = needing.stream_id
                           AND gone.type = 'TrainingDeleted')
       ELSE (SELECT last.type
               FROM log.events AS last
              WHERE last.category = needing.category
                AND last.stream_id = needing.stream_id
                AND last.type IN ('JobQueued', 'JobRetried', 'JobCompleted', 'JobCancelled', 'JobFailed')
              ORDER BY last.version DESC
              LIMIT 1) IN ('JobQueued', 'JobRetried')
       END
 ORDER BY needing.transaction_id, needing.sequence
 LIMIT 5
