ALTER TABLE projection.offsets DROP COLUMN stopped_transaction_id, DROP COLUMN stopped_sequence;
DROP TABLE projection.differences;
DROP TABLE projection.missing_keys;
