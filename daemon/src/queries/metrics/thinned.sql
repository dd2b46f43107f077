-- Recorded steps of a training: all of them, or the last of each of $4 equal parts (so the very last is always there).
SELECT DISTINCT ON (part)
       step, loss, sparsity, reconstruction_error, dead_neurons, explained_variance, learning_rate, timestamp
  FROM (SELECT *, ntile($4) OVER (ORDER BY step) AS part
          FROM mistudio.training_metrics
         WHERE training_id = $1 AND step BETWEEN $2 AND $3) AS numbered
 ORDER BY part, step DESC
