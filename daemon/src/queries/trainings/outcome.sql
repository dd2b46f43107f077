-- What a training's run has been asked for and has not done yet, and the directory of its autoencoder: both are told by the
-- last event of these types.
SELECT CASE e.type WHEN 'PauseRequested' THEN 'pause' WHEN 'StopRequested' THEN 'stop' END AS requested,
       e.payload -> 'result' ->> 'path' AS result_path
  FROM log.events e
 WHERE e.category = 'training' AND e.stream_id = $1
   AND e.type IN ('PauseRequested', 'StopRequested', 'TrainingPaused', 'TrainingStopped', 'TrainingCompleted',
                  'TrainingFailed', 'TrainingErrored')
 ORDER BY e.version DESC
 LIMIT 1
