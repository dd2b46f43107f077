DROP FUNCTION log.note_heads;
DROP TABLE log.heads;
