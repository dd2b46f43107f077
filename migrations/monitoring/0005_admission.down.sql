-- Whatever the views were granted goes with them.
DROP FUNCTION monitoring.admit();
