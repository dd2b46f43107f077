DROP FUNCTION log.settle;
DROP FUNCTION log.append;
