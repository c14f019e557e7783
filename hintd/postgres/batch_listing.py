"""The statements that make a batch's items: of its patients as read, or of the lines of its file."""

from __future__ import annotations

# Listed once: where items stand already, nothing is added.  The row of the batch is not locked, as this may take
# seconds, in which commands shall be heard; so of two workers that list at once, both count afterwards.
LIST_PATIENTS = """
with held as (
    select id from batch where id = $1 and fence = $2 and lease_owner is not null
), listed as (
    insert into batch_item (batch_id, position, record_id)
    select held.id, row_number() over (order by patient_id), patient_id
    from held join batch_patient on batch_id = held.id
    where not exists (select from batch_item where batch_id = $1)
    on conflict do nothing
)
select id from held
"""

LAST_POSITION = "select coalesce(max(position), 0) from batch_item where batch_id = $1"

# Locked, because the rows are counted in the batch.
LIST_LINES = """
with held as (
    select batch.id, upload.id as upload_id, ids + repeated + ignored as lines
    from batch left join upload on upload.connection_id = batch.connection_id and upload.id = $3
    where batch.id = $1 and fence = $2 and lease_owner is not null
    for update of batch
), listed as (
    insert into batch_item (batch_id, position, record_id)
    select held.id, number, contact_id from held join upload_line using (upload_id) where kind = 'id'
    on conflict do nothing
), told as (
    insert into batch_row (batch_id, position, contact_id, outcome, reason)
    select held.id, number, contact_id, 'ignored_line', case kind when 'repeated' then kind else 'not_a_contact_id' end
    from held join upload_line using (upload_id) where kind <> 'id'
    on conflict do nothing
    returning 1
), amount as (
    select count(*)::integer as told from told
), counted as (
    update batch set done = done + told, counts = add_counts(counts, jsonb_build_object('ignored_line', told))
    from amount where id = $1 and told > 0
)
select coalesce(lines, 0) as lines from held
"""

# Without it Postgres takes the index of a practice just read for small, and looks through all of it for each item.
COUNT_ANEW = "analyze (skip_locked) record, batch_item"
