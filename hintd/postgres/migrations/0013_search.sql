-- Rows that wait outside the index would be walked by every search until the next vacuum.
alter index record_by_trigrams set (fastupdate = off);
