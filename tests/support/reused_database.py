"""Empty a test's database, so that another test can use it.

Postgres copies and drops hundreds of files for a database, which takes up to a second on a slow
disk. To empty a database takes a small part of that.
"""

import time

import pg8000.native
from pg8000.exceptions import DatabaseError

from local.postgres import Postgres

# What a test may change besides rows. A copy has the oids of the template, so that equal rows of
# the catalog mean an equal schema. Statistics of tables change the plans of queries.
_SCHEMA = """
WITH relation AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace),
line AS (
  SELECT (oid, relname, relkind, relowner, relacl, reloptions, relpersistence, relrowsecurity,
          relforcerowsecurity, pg_get_expr(relpartbound, oid))::text AS text FROM relation
  UNION ALL SELECT (attrelid, attnum, attname, atttypid, attnotnull, attacl, attoptions,
                    attisdropped)::text
            FROM pg_attribute WHERE attrelid IN (SELECT oid FROM relation)
  UNION ALL SELECT each::text FROM pg_constraint each WHERE conrelid IN (SELECT oid FROM relation)
  UNION ALL SELECT each::text FROM pg_index each WHERE indrelid IN (SELECT oid FROM relation)
  UNION ALL SELECT each::text FROM pg_trigger each WHERE tgrelid IN (SELECT oid FROM relation)
  UNION ALL SELECT each::text FROM pg_policy each
  UNION ALL SELECT each::text FROM pg_default_acl each
  UNION ALL SELECT each::text FROM pg_proc each WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT each::text FROM pg_namespace each WHERE nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT (datdba, datacl, datconnlimit)::text
            FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT (setrole, setconfig)::text FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT (tablename, attname)::text FROM pg_stats WHERE schemaname = 'public'
  UNION ALL SELECT each::text FROM schema_migration each
)
SELECT md5(string_agg(text, ' ' ORDER BY text)) FROM line
"""
_EMPTY = """
DO $$
DECLARE filled text;
BEGIN
  SELECT string_agg(oid::regclass::text, ', ') INTO filled FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND relname <> 'schema_migration' AND pg_relation_size(oid) > 0;
  IF filled IS NOT NULL THEN
    EXECUTE 'TRUNCATE ' || filled || ' CASCADE';
  END IF;
  PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# A connection that was closed just now may still be listed.
_PATIENCE_S = 0.1


def schema_of(server: Postgres, name: str) -> str:
    """Return a hash of everything in a database but its records."""
    connection = server.connect(name)
    try:
        return _schema(connection)
    finally:
        connection.close()


def empty(server: Postgres, name: str, schema: str) -> bool:
    """Empty a database; return False if it is not as good as new.

    Its schema may differ, or somebody may still be connected, who might write to it later.

    Args:
        server: the server of the database.
        name: the name of the database.
        schema: the hash of a new database.
    """
    connection = server.connect(name)
    try:
        until = time.monotonic() + _PATIENCE_S
        while connection.run(_OTHERS) != [[0]]:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        connection.run(_EMPTY)
        return _schema(connection) == schema
    except DatabaseError:  # tables are missing, or belong to others
        return False
    finally:
        connection.close()


def _schema(connection: pg8000.native.Connection) -> str:
    ((schema,),) = connection.run(_SCHEMA)
    return str(schema)
