-- What matching and searching need of every patient and Contact.
create table record (
    connection_id integer not null,
    side text not null check (side in ('hint', 'salesforce')),
    record_id text not null,
    stamp timestamptz not null,
    match_name text not null,
    first_name text,
    last_name text,
    suffix text,
    date_of_birth text,
    search_name text not null, -- the name's words without accents and punctuation
    reach bytea not null, -- [e-mail, phone]: JSON, sealed, because nobody searches by them
    gone boolean not null,
    created_at timestamptz,
    claimed boolean not null,
    primary key (connection_id, side, record_id)
);
create index record_by_match on record (connection_id, side, match_name, date_of_birth) where not gone;
create index record_by_trigrams on record using gin (search_name gin_trgm_ops) where side = 'hint' and not gone;

create type record_row as (
    side text, record_id text, stamp timestamptz, match_name text, first_name text, last_name text, suffix text,
    date_of_birth text, search_name text, reach bytea, gone boolean, created_at timestamptz, claimed boolean
);

-- A row older than the one that stands is left out; of two for one record the newer counts, then the later one.
-- Sorted, so that two of these at once take their locks in the same order.
create function put_records(p_connection integer, p_rows record_row[]) returns void language sql as $$
    insert into record
    select p_connection, side, record_id, stamp, match_name, first_name, last_name, suffix, date_of_birth,
        search_name, reach, gone, created_at, claimed
    from (
        select distinct on (side, record_id) *
        from unnest(p_rows) with ordinality as given (
            side, record_id, stamp, match_name, first_name, last_name, suffix, date_of_birth, search_name, reach, gone,
            created_at, claimed, place
        )
        order by side, record_id, stamp desc, place desc
    ) newest
    on conflict (connection_id, side, record_id) do update set
        stamp = excluded.stamp, match_name = excluded.match_name, first_name = excluded.first_name,
        last_name = excluded.last_name, suffix = excluded.suffix, date_of_birth = excluded.date_of_birth,
        search_name = excluded.search_name, reach = excluded.reach, gone = excluded.gone,
        created_at = excluded.created_at, claimed = excluded.claimed
    where record.stamp <= excluded.stamp
$$;
