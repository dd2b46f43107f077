-- The trainings whose model has the id or the name $1, the newest first, but for those that have been deleted.
SELECT e.stream_id
  FROM log.events e
 WHERE e.type = 'ModelProduced'
   AND $1 IN (e.payload ->> 'model_id', e.payload ->> 'model_name')
   AND NOT EXISTS (SELECT FROM log.events gone
                    WHERE gone.category = 'training' AND gone.stream_id = e.stream_id AND gone.type = 'TrainingDeleted')
 ORDER BY e.transaction_id DESC, e.sequence DESC
 LIMIT 5
