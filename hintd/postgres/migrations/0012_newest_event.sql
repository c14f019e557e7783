-- Both what is counted of a connection's events and the newest of a source are answered from one index.
drop index event_of_connection;
create index event_of_connection on event (connection_id, source, at) include (outcome);
