DROP INDEX log.events_begun;
