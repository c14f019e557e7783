-- What is sealed does not compress: Postgres shall not try, which takes as long as the rest of the insert.
alter table inbox alter column body set storage external;
alter table link alter column base set storage external;
