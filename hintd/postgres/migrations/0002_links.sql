-- A Contact paired with a patient.  Unlinked pairs stay for their history.
create table link (
    id bigint generated always as identity primary key,
    connection_id integer not null references connection,
    contact_id text not null,
    patient_id text not null,
    state text not null check (state in ('linking', 'linked', 'unlinked')),
    linked_at timestamptz not null,
    linked_by text not null,
    base bytea not null, -- both halves, held, frozen, turns: JSON, sealed
    fence bigint not null default 0, -- grows with every taking
    lease_owner text, -- null: nobody has it
    lease_until timestamptz
) with (fillfactor = 80); -- every reconcile updates the row: room for it on the same page

create unique index link_of_contact on link (connection_id, contact_id) where state <> 'unlinked';
create unique index link_of_patient on link (connection_id, patient_id) where state <> 'unlinked';

-- Pairs that a person parted: automation leaves them apart.
create table parted (
    connection_id integer not null references connection,
    contact_id text not null,
    patient_id text not null,
    at timestamptz not null,
    primary key (connection_id, contact_id, patient_id)
);
create index parted_of_patient on parted (connection_id, patient_id);

-- From here on without foreign keys: these tables grow with every event, connections and links are never deleted,
-- and the key check would lock the one row of the connection for every event.

create table history (
    id bigint generated always as identity primary key,
    connection_id integer not null,
    link_id bigint not null,
    at timestamptz not null,
    field text not null,
    side text not null,
    change bytea not null, -- [old, new]: JSON, sealed
    cause text not null,
    batch_id text
);
create index history_of_link on history (link_id, at, id);

-- The ledger: the one end of every accepted event.
create table event (
    notice_id text primary key,
    connection_id integer, -- null: of no connection that hintd knows
    source text not null,
    outcome text not null,
    reason text not null,
    at timestamptz not null
);
create index event_of_connection on event (connection_id, source, outcome);
