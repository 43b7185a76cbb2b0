"""On PostgreSQL the audit can only grow: a changed or deleted event is refused, not only found afterwards."""

from django.db import migrations

# {schema}: a table of the same name in a session's temporary schema must not be looked at instead.
UP = """
CREATE FUNCTION {schema}.mhealth_audit_event_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only: % of % is refused', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_event_stays BEFORE UPDATE OR DELETE ON {schema}.platform_auditevent
    FOR EACH ROW EXECUTE FUNCTION {schema}.mhealth_audit_event_stays();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON {schema}.platform_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.mhealth_audit_event_stays();

CREATE FUNCTION {schema}.mhealth_audit_head_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = OLD.id AND EXISTS (
        SELECT FROM {schema}.platform_auditevent WHERE digest = NEW.digest AND previous = OLD.digest
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit is append-only: its head moves to the event that follows, nowhere else'
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_head_moves_on BEFORE UPDATE ON {schema}.platform_audithead
    FOR EACH ROW EXECUTE FUNCTION {schema}.mhealth_audit_head_moves_on();
CREATE TRIGGER audit_head_stays BEFORE DELETE ON {schema}.platform_audithead
    FOR EACH ROW EXECUTE FUNCTION {schema}.mhealth_audit_event_stays();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON {schema}.platform_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.mhealth_audit_event_stays();
"""
DOWN = """
DROP FUNCTION {schema}.mhealth_audit_event_stays() CASCADE;
DROP FUNCTION {schema}.mhealth_audit_head_moves_on() CASCADE;
"""


def on_postgresql(statements):
    def run(_apps, schema_editor):
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            cursor.execute(statements.format(schema=cursor.fetchone()[0]))

    return run


class Migration(migrations.Migration):
    dependencies = [("platform", "0001_initial")]
    operations = [migrations.RunPython(on_postgresql(UP), on_postgresql(DOWN))]
