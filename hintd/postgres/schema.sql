-- What all migrations together make, as pg_dump shows it; for reading.  A test proves that the two agree.

SET check_function_bodies = false; -- functions stand before the tables that they use

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE TYPE public.history_row AS (
	at timestamp with time zone,
	field text,
	side text,
	change bytea,
	cause text,
	batch_id text
);

CREATE TYPE public.log_row AS (
	at timestamp with time zone,
	level text,
	what text,
	message text,
	contact_id text,
	patient_id text,
	batch_id text
);

CREATE TYPE public.parked_row AS (
	kind text,
	cause text,
	owner text,
	contact_id text,
	patient_id text,
	mark text,
	message bytea,
	body bytea
);

CREATE TYPE public.record_row AS (
	side text,
	record_id text,
	stamp timestamp with time zone,
	match_name text,
	first_name text,
	last_name text,
	suffix text,
	date_of_birth text,
	search_name text,
	reach bytea,
	gone boolean,
	created_at timestamp with time zone,
	claimed boolean
);

CREATE FUNCTION public.add_counts(one jsonb, other jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    select coalesce(jsonb_object_agg(word, amount), '{}')
    from (
        select word, sum(value::bigint) as amount
        from (select * from jsonb_each_text(one) union all select * from jsonb_each_text(other)) as each (word, value)
        group by word
    ) sums
$$;

CREATE FUNCTION public.park(p_connection integer, p_at timestamp with time zone, p_rows public.parked_row[]) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.put_records(p_connection integer, p_rows public.record_row[]) RETURNS void
    LANGUAGE sql
    AS $$
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

CREATE FUNCTION public.settle(p_connection integer, p_at timestamp with time zone, p_notice text, p_source text, p_outcome text, p_reason text, p_link bigint, p_fence bigint, p_contact text, p_patient text, p_state text, p_linked_at timestamp with time zone, p_linked_by text, p_base bytea, p_history public.history_row[], p_park public.parked_row[], p_unpark_contact text, p_unpark_patient text, p_parted_contact text, p_parted_patient text, p_log public.log_row[], p_records public.record_row[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    just_parked bigint[] := '{}';
begin
    if p_notice is not null then
        insert into event values (p_notice, p_connection, p_source, p_outcome, p_reason, p_at) on conflict do nothing;
        if not found then
            update link set lease_owner = null, lease_until = null
            where id = p_link and connection_id = p_connection and fence = p_fence;
            return false;
        end if;
    end if;
    if p_link is not null then
        -- Giving the lease back ends our turn as well, so that nothing is stored twice under one fence.
        update link set contact_id = p_contact, patient_id = p_patient, state = p_state, linked_at = p_linked_at,
            linked_by = p_linked_by, base = p_base, lease_owner = null, lease_until = null
        where id = p_link and connection_id = p_connection and fence = p_fence and lease_owner is not null;
        if not found then
            raise exception 'the lease of link % was lost', p_link using errcode = 'HF001';
        end if;
        insert into history (connection_id, link_id, at, field, side, change, cause, batch_id)
        select p_connection, p_link, at, field, side, change, cause, batch_id from unnest(p_history);
    end if;
    if cardinality(p_park) > 0 then
        just_parked := park(p_connection, p_at, p_park);
    end if;
    if p_unpark_contact is not null or p_unpark_patient is not null then
        update parked set state = 'resolved', closed_at = p_at
        where connection_id = p_connection and state = 'open' and id <> all (just_parked)
            and (contact_id = p_unpark_contact or patient_id = p_unpark_patient);
    end if;
    if p_parted_contact is not null then
        insert into parted values (p_connection, p_parted_contact, p_parted_patient, p_at) on conflict do nothing;
    end if;
    if cardinality(p_log) > 0 then
        perform write_log(p_connection, p_log);
    end if;
    if cardinality(p_records) > 0 then
        perform put_records(p_connection, p_records);
    end if;
    return true;
end
$$;

CREATE FUNCTION public.write_log(p_connection integer, p_rows public.log_row[]) RETURNS void
    LANGUAGE sql
    AS $$
    insert into log (connection_id, at, level, what, message, contact_id, patient_id, batch_id)
    select p_connection, at, level, what, message, contact_id, patient_id, batch_id from unnest(p_rows)
$$;

CREATE FUNCTION public.write_tally(p_remote text, p_turn bigint, p_tally json) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    -- A server that crashes may forget the calls of its last second; waiting for the disk at each call would cost more.
    set local synchronous_commit = off;
    update budget set turn = turn + 1, tally = p_tally where remote = p_remote and turn = p_turn;
    return found;
end
$$;

CREATE TABLE public.batch (
    number bigint NOT NULL,
    id text DEFAULT ('bat-'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    connection_id integer NOT NULL,
    request_id text NOT NULL,
    kind text NOT NULL,
    direction text NOT NULL,
    options jsonb NOT NULL,
    requested_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    wanted text,
    stage text,
    done integer DEFAULT 0 NOT NULL,
    total integer,
    counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    calls jsonb DEFAULT '{}'::jsonb NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    waiting_for text,
    waits_until timestamp with time zone,
    message text,
    read_until text,
    checkpoint integer DEFAULT 0 NOT NULL,
    has_work boolean DEFAULT true NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_owner text,
    lease_until timestamp with time zone,
    CONSTRAINT batch_kind_check CHECK ((kind = ANY (ARRAY['run'::text, 'preview'::text]))),
    CONSTRAINT batch_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'waiting'::text, 'paused'::text, 'aborting'::text, 'aborted'::text, 'done'::text, 'failed'::text])))
)
WITH (fillfactor='50');

CREATE TABLE public.batch_item (
    batch_id text NOT NULL,
    "position" integer NOT NULL,
    record_id text NOT NULL,
    partner_id text,
    decision text,
    why text DEFAULT ''::text NOT NULL
)
WITH (fillfactor='80');

ALTER TABLE public.batch ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.batch_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.batch_patient (
    batch_id text NOT NULL,
    patient_id text NOT NULL,
    body bytea NOT NULL
);
ALTER TABLE ONLY public.batch_patient ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE public.batch_row (
    batch_id text NOT NULL,
    "position" integer NOT NULL,
    contact_id text,
    patient_id text,
    outcome text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    detail bytea,
    replanned boolean DEFAULT false NOT NULL,
    stamped boolean DEFAULT false NOT NULL
);
ALTER TABLE ONLY public.batch_row ALTER COLUMN detail SET STORAGE EXTERNAL;

CREATE TABLE public.budget (
    remote text NOT NULL,
    turn bigint NOT NULL,
    tally json NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE public.connection (
    id integer NOT NULL,
    name text NOT NULL,
    practice_id text NOT NULL,
    practice_name text NOT NULL,
    installation_id text NOT NULL,
    organization_id text NOT NULL,
    organization_name text NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    settings bytea NOT NULL,
    webhook bytea NOT NULL,
    default_account_id text,
    secrets bytea NOT NULL,
    paused_why text,
    CONSTRAINT connection_state_check CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'disconnected'::text])))
);

ALTER TABLE public.connection ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.connection_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.cursor (
    connection_id integer NOT NULL,
    name text NOT NULL,
    value bytea NOT NULL
);

CREATE TABLE public.event (
    notice_id text NOT NULL,
    connection_id integer,
    source text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.history (
    id bigint NOT NULL,
    connection_id integer NOT NULL,
    link_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    field text NOT NULL,
    side text NOT NULL,
    change bytea NOT NULL,
    cause text NOT NULL,
    batch_id text
);

ALTER TABLE public.history ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.inbox (
    id bigint NOT NULL,
    queue text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    turn integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    strikes integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', toast_tuple_target='8160');

ALTER TABLE public.inbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.inbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lease (
    name text NOT NULL,
    owner text,
    fence bigint NOT NULL,
    until timestamp with time zone
);

CREATE TABLE public.link (
    id bigint NOT NULL,
    connection_id integer NOT NULL,
    contact_id text NOT NULL,
    patient_id text NOT NULL,
    state text NOT NULL,
    linked_at timestamp with time zone NOT NULL,
    linked_by text NOT NULL,
    base bytea NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_owner text,
    lease_until timestamp with time zone,
    CONSTRAINT link_state_check CHECK ((state = ANY (ARRAY['linking'::text, 'linked'::text, 'unlinked'::text])))
)
WITH (fillfactor='80');

ALTER TABLE public.link ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.link_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.log (
    id bigint NOT NULL,
    connection_id integer,
    at timestamp with time zone NOT NULL,
    level text NOT NULL,
    what text NOT NULL,
    message text NOT NULL,
    contact_id text,
    patient_id text,
    batch_id text
);

ALTER TABLE public.log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.migration (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.parked (
    id bigint NOT NULL,
    connection_id integer,
    kind text NOT NULL,
    cause text NOT NULL,
    owner text NOT NULL,
    contact_id text,
    patient_id text,
    mark text NOT NULL,
    message bytea NOT NULL,
    body bytea,
    since timestamp with time zone NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT parked_state_check CHECK ((state = ANY (ARRAY['open'::text, 'resolved'::text, 'discarded'::text])))
);

ALTER TABLE public.parked ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.parked_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.parted (
    connection_id integer NOT NULL,
    contact_id text NOT NULL,
    patient_id text NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.record (
    connection_id integer NOT NULL,
    side text NOT NULL,
    record_id text NOT NULL,
    stamp timestamp with time zone NOT NULL,
    match_name text NOT NULL,
    first_name text,
    last_name text,
    suffix text,
    date_of_birth text,
    search_name text NOT NULL,
    reach bytea NOT NULL,
    gone boolean NOT NULL,
    created_at timestamp with time zone,
    claimed boolean NOT NULL,
    CONSTRAINT record_side_check CHECK ((side = ANY (ARRAY['hint'::text, 'salesforce'::text])))
);

CREATE TABLE public.upload (
    id text DEFAULT ('upl-'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    connection_id integer NOT NULL,
    at timestamp with time zone NOT NULL,
    ids integer NOT NULL,
    repeated integer NOT NULL,
    ignored integer NOT NULL
);

CREATE TABLE public.upload_line (
    upload_id text NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    contact_id text
);

ALTER TABLE ONLY public.batch
    ADD CONSTRAINT batch_connection_id_request_id_key UNIQUE (connection_id, request_id);

ALTER TABLE ONLY public.batch_item
    ADD CONSTRAINT batch_item_pkey PRIMARY KEY (batch_id, "position");

ALTER TABLE ONLY public.batch_patient
    ADD CONSTRAINT batch_patient_pkey PRIMARY KEY (batch_id, patient_id);

ALTER TABLE ONLY public.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.batch_row
    ADD CONSTRAINT batch_row_pkey PRIMARY KEY (batch_id, "position");

ALTER TABLE ONLY public.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (remote);

ALTER TABLE ONLY public.connection
    ADD CONSTRAINT connection_name_key UNIQUE (name);

ALTER TABLE ONLY public.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.connection
    ADD CONSTRAINT connection_practice_id_key UNIQUE (practice_id);

ALTER TABLE ONLY public.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (connection_id, name);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (notice_id);

ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.log
    ADD CONSTRAINT log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parted
    ADD CONSTRAINT parted_pkey PRIMARY KEY (connection_id, contact_id, patient_id);

ALTER TABLE ONLY public.record
    ADD CONSTRAINT record_pkey PRIMARY KEY (connection_id, side, record_id);

ALTER TABLE ONLY public.upload_line
    ADD CONSTRAINT upload_line_pkey PRIMARY KEY (upload_id, number);

ALTER TABLE ONLY public.upload
    ADD CONSTRAINT upload_pkey PRIMARY KEY (id);

CREATE INDEX batch_not_ended ON public.batch USING btree (number) WHERE (state <> ALL (ARRAY['aborted'::text, 'done'::text, 'failed'::text]));

CREATE INDEX batch_of_connection ON public.batch USING btree (connection_id, number);

CREATE INDEX batch_row_by_outcome ON public.batch_row USING btree (batch_id, outcome, "position");

CREATE INDEX batch_row_of_contact ON public.batch_row USING btree (batch_id, contact_id);

CREATE INDEX batch_row_of_patient ON public.batch_row USING btree (batch_id, patient_id);

CREATE INDEX batch_row_unstamped ON public.batch_row USING btree (batch_id, "position") WHERE ((contact_id IS NOT NULL) AND (NOT stamped) AND (outcome <> 'ignored_line'::text));

CREATE UNIQUE INDEX batch_run ON public.batch USING btree (connection_id) WHERE ((kind = 'run'::text) AND (state <> ALL (ARRAY['aborted'::text, 'done'::text, 'failed'::text])));

CREATE INDEX batch_to_clear ON public.batch USING btree (number) WHERE (has_work AND (state = ANY (ARRAY['aborted'::text, 'done'::text, 'failed'::text])));

CREATE INDEX event_of_connection ON public.event USING btree (connection_id, source, at) INCLUDE (outcome);

CREATE INDEX history_of_link ON public.history USING btree (link_id, at, id);

CREATE INDEX inbox_due ON public.inbox USING btree (queue, due_at, id);

CREATE UNIQUE INDEX link_of_contact ON public.link USING btree (connection_id, contact_id) WHERE (state <> 'unlinked'::text);

CREATE UNIQUE INDEX link_of_patient ON public.link USING btree (connection_id, patient_id) WHERE (state <> 'unlinked'::text);

CREATE INDEX log_of_connection ON public.log USING btree (connection_id, id);

CREATE INDEX log_of_contact ON public.log USING btree (contact_id, id) WHERE (contact_id IS NOT NULL);

CREATE INDEX log_of_patient ON public.log USING btree (patient_id, id) WHERE (patient_id IS NOT NULL);

CREATE INDEX parked_of_contact ON public.parked USING btree (connection_id, contact_id) WHERE (state = 'open'::text);

CREATE INDEX parked_of_patient ON public.parked USING btree (connection_id, patient_id) WHERE (state = 'open'::text);

CREATE UNIQUE INDEX parked_once ON public.parked USING btree (COALESCE(connection_id, 0), kind, COALESCE(contact_id, ''::text), COALESCE(patient_id, ''::text), mark) WHERE (state = 'open'::text);

CREATE INDEX parted_of_patient ON public.parted USING btree (connection_id, patient_id);

CREATE INDEX record_by_match ON public.record USING btree (connection_id, side, match_name, date_of_birth) WHERE (NOT gone);

CREATE INDEX record_by_trigrams ON public.record USING gin (search_name public.gin_trgm_ops) WITH (fastupdate=off) WHERE ((side = 'hint'::text) AND (NOT gone));

ALTER TABLE ONLY public.batch
    ADD CONSTRAINT batch_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connection(id);

ALTER TABLE ONLY public.cursor
    ADD CONSTRAINT cursor_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connection(id);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connection(id);

ALTER TABLE ONLY public.parted
    ADD CONSTRAINT parted_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connection(id);

ALTER TABLE ONLY public.upload
    ADD CONSTRAINT upload_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.connection(id);
