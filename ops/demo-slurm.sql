-- What ops/demo --slurm left in the read model pic, asked for as the role of that name.
\set QUIET on
\pset footer off
\pset border 1

\echo 'The tables of the role pic'
\dt

\echo 'Jobs (jobs)'
SELECT sbatch_id AS job, job_type AS type, fold_index AS fold, status, start_time::time(0) AS began, end_time::time(0) AS ended,
       length(sbatch_content) AS "bytes of script"
FROM jobs ORDER BY start_time, fold_index;

\echo 'Trainings (training), each with its model (model)'
SELECT t.id, t.name, j.fold_index AS fold, t.status, t.progress AS "%", m.model_name AS model
FROM training AS t JOIN jobs AS j ON j.id = t.job_id LEFT JOIN model AS m ON m.training_id = t.id
ORDER BY t.start_time, j.fold_index;

\echo 'Predictions (inference)'
SELECT i.predict_id, i.status, date_trunc('second', i.end_time - i.start_time) AS took, left(i.prediction::text, 60) AS prediction
FROM inference AS i ORDER BY i.created_at;
