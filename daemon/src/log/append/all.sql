-- The events of a command, with their tasks.
SELECT appended, transaction_id, sequences, times
  FROM log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
