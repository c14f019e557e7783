-- The queues of the embedded bus, and what was accepted while RabbitMQ was not there.
create table inbox (
    id bigint generated always as identity primary key,
    queue text not null, -- 'dead': the dead letters of all queues
    key text not null, -- the record that the message is about
    body bytea not null, -- sealed by who puts it
    due_at timestamptz not null default now(), -- not before; while in hand, the end of the lease
    turn integer not null default 0, -- grows when it is claimed and when it is given back: who is late changes nothing
    attempts integer not null default 0, -- deliveries
    strikes integer not null default 0 -- deliveries since somebody last gave the message back
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
create index inbox_due on inbox (queue, due_at, id);
