DROP TABLE snapshot.states;
DROP SCHEMA snapshot;
