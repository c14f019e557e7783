-- What was set aside for a person.
create table parked (
    id bigint generated always as identity primary key,
    connection_id integer, -- null: of no connection that hintd knows
    kind text not null,
    cause text not null,
    owner text not null,
    contact_id text,
    patient_id text,
    mark text not null, -- tells items that name no record apart: a digest of what was parked
    message bytea not null, -- sealed
    body bytea, -- sealed
    since timestamptz not null,
    attempts integer not null default 1,
    state text not null default 'open' check (state in ('open', 'resolved', 'discarded')),
    closed_at timestamptz
);
create unique index parked_once on parked
    (coalesce(connection_id, 0), kind, coalesce(contact_id, ''), coalesce(patient_id, ''), mark) where state = 'open';
create index parked_of_patient on parked (connection_id, patient_id) where state = 'open';
create index parked_of_contact on parked (connection_id, contact_id) where state = 'open';

create table log (
    id bigint generated always as identity primary key,
    connection_id integer,
    at timestamptz not null,
    level text not null,
    what text not null,
    message text not null,
    contact_id text,
    patient_id text,
    batch_id text
);
create index log_of_connection on log (connection_id, id);
create index log_of_contact on log (contact_id, id) where contact_id is not null;
create index log_of_patient on log (patient_id, id) where patient_id is not null;

create type parked_row as (
    kind text, cause text, owner text, contact_id text, patient_id text, mark text, message bytea, body bytea
);
create type log_row as (
    at timestamptz, level text, what text, message text, contact_id text, patient_id text, batch_id text
);
create type history_row as (at timestamptz, field text, side text, change bytea, cause text, batch_id text);

-- Parking what is open already counts an attempt.  Row by row: one settlement may park the same thing twice.
create function park(p_connection integer, p_at timestamptz, p_rows parked_row[]) returns bigint[]
language plpgsql as $$
declare
    item parked_row;
    item_id bigint;
    ids bigint[] := '{}';
begin
    foreach item in array p_rows loop
        insert into parked (connection_id, kind, cause, owner, contact_id, patient_id, mark, message, body, since)
        values (p_connection, item.kind, item.cause, item.owner, item.contact_id, item.patient_id, item.mark,
            item.message, item.body, p_at)
        on conflict (coalesce(connection_id, 0), kind, coalesce(contact_id, ''), coalesce(patient_id, ''), mark)
            where state = 'open'
        do update set attempts = parked.attempts + 1, cause = excluded.cause, owner = excluded.owner,
            message = excluded.message, body = coalesce(excluded.body, parked.body)
        returning id into item_id;
        ids := ids || item_id;
    end loop;
    return ids;
end
$$;

create function write_log(p_connection integer, p_rows log_row[]) returns void language sql as $$
    insert into log (connection_id, at, level, what, message, contact_id, patient_id, batch_id)
    select p_connection, at, level, what, message, contact_id, patient_id, batch_id from unnest(p_rows)
$$;
