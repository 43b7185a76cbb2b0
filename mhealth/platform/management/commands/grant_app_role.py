import os
import sys

from django.core.management.base import BaseCommand
from django.db import connection, transaction
from psycopg2 import sql

PASSWORD = "APP_ROLE_PASSWORD"  # noqa: S105 (the name of a variable)
# What a role of the service may do: never empty a table, never change the audit, never the record of migrations.
GRANTS = """
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {role};
REVOKE UPDATE, DELETE ON platform_auditevent FROM {role};
REVOKE DELETE ON platform_audithead FROM {role};
REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role};
"""
OWNS_ALL = """
SELECT bool_and(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""
WHY_NOT = """
SELECT CASE WHEN rolsuper THEN 'is a superuser' WHEN rolbypassrls THEN 'has BYPASSRLS'
    WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
                 AND pg_has_role(role.oid, relowner, 'MEMBER')) THEN 'owns tables' END
FROM pg_roles AS role WHERE rolname = %s
"""


class Command(BaseCommand):
    help = (
        "Let ROLE serve the application on PostgreSQL under row-level security; run as the owner of the tables after "
        f"each `migrate`. A role that is not there is made with the password in {PASSWORD}."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("role")

    def handle(self, *args: object, role: str, **options: object) -> None:
        if connection.vendor != "postgresql":
            self._refuse("row-level security is PostgreSQL's: DATABASE_URL names another database")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(OWNS_ALL)
            if not cursor.fetchone()[0]:  # PostgreSQL would only warn that nothing was granted
                self._refuse("only the owner of the tables can grant: set MIGRATION_DATABASE_URL")
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            if not cursor.fetchone():
                self._make(cursor, role)
            cursor.execute(WHY_NOT, [role])
            if why_not := cursor.fetchone()[0]:
                self._refuse(f"{role} {why_not}: row-level security would not hold for it")
            cursor.execute("SELECT current_schema()")
            names = {"schema": sql.Identifier(cursor.fetchone()[0]), "role": sql.Identifier(role)}
            cursor.execute(sql.SQL(GRANTS).format(**names).as_string(cursor.connection))
        self.stdout.write(f"{role} may serve the application; name it in DATABASE_URL")

    def _make(self, cursor, role: str) -> None:
        password = os.environ.get(PASSWORD, "")
        if not password:
            self._refuse(f"there is no role {role}: set {PASSWORD} and it is made, or make it with CREATE ROLE … LOGIN")
        made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        cursor.execute(made.as_string(cursor.connection))

    def _refuse(self, line: str) -> None:
        self.stderr.write(line)
        sys.exit(2)
