-- Part of PostgreSQL's own contrib; what the live search by name needs.
create extension if not exists pg_trgm;
