-- The calls made to a remote whose limits hold for all processes together.
create table budget (
    remote text primary key,
    turn bigint not null, -- grows with every write: who has read an older one decides anew
    tally json not null
) with (fillfactor = 50);
insert into budget values ('hint', 0, '{}');

create function write_tally(p_remote text, p_turn bigint, p_tally json) returns boolean
    language plpgsql
as $$
begin
    -- A server that crashes may forget the calls of its last second; waiting for the disk at each call would cost more.
    set local synchronous_commit = off;
    update budget set turn = turn + 1, tally = p_tally where remote = p_remote and turn = p_turn;
    return found;
end
$$;
