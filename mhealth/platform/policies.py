"""Operations for migrations: functions and policies of row-level security, on PostgreSQL alone.

A rule is an SQL condition on a row of the table; the actor `everybody` meets it always.
"""

from django.db.migrations import RunPython

FOR_EVERYBODY = "(SELECT mhealth_acts_for_everybody())"


def through(column: str, parent: str) -> str:
    """The rule: a row is there for whom its parent is there. The parent's own policy narrows the look at it."""
    return f"EXISTS (SELECT FROM {parent} AS parent WHERE parent.id = {column})"


def guard(table: str, rule: str) -> RunPython:
    return on_postgresql(
        f"""
        CREATE POLICY mhealth_second_wall ON {table} USING ({FOR_EVERYBODY} OR {rule});
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        """,
        f"""
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
        DROP POLICY mhealth_second_wall ON {table};
        """,
    )


def on_postgresql(forwards: str, backwards: str) -> RunPython:
    return RunPython(_run(forwards), _run(backwards))


def _run(statements: str):
    def run(_apps, schema_editor) -> None:
        if schema_editor.connection.vendor == "postgresql":
            with schema_editor.connection.cursor() as cursor:
                cursor.execute(statements)

    return run
