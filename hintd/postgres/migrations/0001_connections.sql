-- One Hint practice with one Salesforce org.  Every other table of a practice carries connection_id.
create table connection (
    id integer generated always as identity primary key,
    name text not null unique,
    practice_id text not null unique,
    practice_name text not null,
    installation_id text not null,
    organization_id text not null,
    organization_name text not null,
    state text not null check (state in ('active', 'paused', 'disconnected')),
    created_at timestamptz not null,
    settings bytea not null, -- JSON
    webhook bytea not null, -- JSON
    default_account_id text,
    secrets bytea not null, -- JSON, sealed with the keys for secrets
    paused_why text
);

-- Replay cursors and watermarks, opaque.
create table cursor (
    connection_id integer not null references connection,
    name text not null,
    value bytea not null,
    primary key (connection_id, name)
);

-- Elections.  A row outlives its holder, so that the fence never starts again.
create table lease (
    name text primary key,
    owner text,
    fence bigint not null,
    until timestamptz
);
