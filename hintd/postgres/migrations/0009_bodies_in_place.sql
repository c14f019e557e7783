-- A sealed webhook of 6 kB stays within its row: cut into pieces beside the table it takes four rows and another index.
alter table inbox set (toast_tuple_target = 8160);
