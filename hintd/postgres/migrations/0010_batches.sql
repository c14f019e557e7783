-- The life of batches.  Ended ones stay, with their rows.
create table batch (
    number bigint generated always as identity, -- the order of asking
    id text primary key default 'bat-' || left(replace(gen_random_uuid()::text, '-', ''), 12),
    connection_id integer not null references connection,
    request_id text not null,
    kind text not null check (kind in ('run', 'preview')),
    direction text not null,
    options jsonb not null,
    requested_by text not null,
    created_at timestamptz not null,
    state text not null default 'queued'
        check (state in ('queued', 'running', 'waiting', 'paused', 'aborting', 'aborted', 'done', 'failed')),
    wanted text, -- a command that the worker has not obeyed yet
    stage text,
    done integer not null default 0,
    total integer,
    counts jsonb not null default '{}',
    calls jsonb not null default '{}',
    started_at timestamptz,
    finished_at timestamptz,
    waiting_for text,
    waits_until timestamptz,
    message text,
    read_until text,
    checkpoint integer not null default 0,
    has_work boolean not null default true, -- its items and patients were not thrown away yet
    fence bigint not null default 0, -- grows with every claim
    lease_owner text, -- null: nobody has it
    lease_until timestamptz,
    unique (connection_id, request_id)
) with (fillfactor = 50); -- every page updates the row: room for it on the same page

create unique index batch_run on batch (connection_id)
    where kind = 'run' and state not in ('aborted', 'done', 'failed');
create index batch_of_connection on batch (connection_id, number);
create index batch_not_ended on batch (number) where state not in ('aborted', 'done', 'failed');
create index batch_to_clear on batch (number) where has_work and state in ('aborted', 'done', 'failed');

-- From here on without foreign keys, for the same reasons as with links.

-- The patients of a batch as read, until it ends.
create table batch_patient (
    batch_id text not null,
    patient_id text not null,
    body bytea not null, -- JSON, sealed
    primary key (batch_id, patient_id)
);
alter table batch_patient alter column body set storage external;

-- What a batch works on, until it ends.
create table batch_item (
    batch_id text not null,
    position integer not null, -- of a file: the line
    record_id text not null,
    partner_id text,
    decision text,
    why text not null default '',
    primary key (batch_id, position)
) with (fillfactor = 80); -- matching updates every row once

-- The results.
create table batch_row (
    batch_id text not null,
    position integer not null,
    contact_id text,
    patient_id text,
    outcome text not null,
    reason text not null default '',
    detail bytea, -- [message, fields]: JSON, sealed; null: neither
    replanned boolean not null default false,
    stamped boolean not null default false,
    primary key (batch_id, position)
);
alter table batch_row alter column detail set storage external;
create index batch_row_by_outcome on batch_row (batch_id, outcome, position);
create index batch_row_of_contact on batch_row (batch_id, contact_id);
create index batch_row_of_patient on batch_row (batch_id, patient_id);
-- A repeated line names a Contact that has a row of its own.
create index batch_row_unstamped on batch_row (batch_id, position)
    where contact_id is not null and not stamped and outcome <> 'ignored_line';

-- The files of Contact ids.
create table upload (
    id text primary key default 'upl-' || left(replace(gen_random_uuid()::text, '-', ''), 12),
    connection_id integer not null references connection,
    at timestamptz not null,
    ids integer not null,
    repeated integer not null,
    ignored integer not null
);

create table upload_line (
    upload_id text not null,
    number integer not null,
    kind text not null,
    contact_id text, -- null: the line is ignored; its text is never stored
    primary key (upload_id, number)
);

-- The sums of two objects of numbers, word by word.
create function add_counts(one jsonb, other jsonb) returns jsonb language sql immutable as $$
    select coalesce(jsonb_object_agg(word, amount), '{}')
    from (
        select word, sum(value::bigint) as amount
        from (select * from jsonb_each_text(one) union all select * from jsonb_each_text(other)) as each (word, value)
        group by word
    ) sums
$$;
