-- Roles around the database market, applied by a superuser. Safe to repeat. Passwords are set apart from this file.
--   ods_owner  owns schema ods and everything in it; nobody can log in as it
--   feed       writes what Finnhub says
--   cdc        Debezium: reads the log of changes and the tables
--   reconcile  compares Postgres with the lake, keeps the proofs, drops what was proven to be in the lake
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['ods_owner', 'feed', 'cdc', 'reconcile'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;
ALTER ROLE ods_owner NOLOGIN;
ALTER ROLE feed LOGIN;
ALTER ROLE cdc LOGIN REPLICATION;
ALTER ROLE reconcile LOGIN;
