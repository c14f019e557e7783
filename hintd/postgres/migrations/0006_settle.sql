-- Everything that the end of one piece of work stores, in one round trip and one transaction.
-- Answers whether it was stored: false when the notice was settled before.
-- Raises HF001 when the link is not ours under p_fence any more.
create function settle(
    p_connection integer, p_at timestamptz,
    p_notice text, p_source text, p_outcome text, p_reason text,
    p_link bigint, p_fence bigint, p_contact text, p_patient text, p_state text, p_linked_at timestamptz,
    p_linked_by text, p_base bytea, p_history history_row[],
    p_park parked_row[], p_unpark_contact text, p_unpark_patient text,
    p_parted_contact text, p_parted_patient text,
    p_log log_row[], p_records record_row[]
) returns boolean language plpgsql as $$
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
