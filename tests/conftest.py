"""Story people and what every room's tests share.

ada (participant), ben (another participant), carol (their clinician), dan (a clinician of other people),
rae (researcher), tom (trial manager), ola (operator), eve and finn (reviewers).
"""

import os
import sqlite3

import pytest
from django.core.cache import cache
from django.db import connection, connections

from mhealth.platform import row_security
from tests import factories, roles

# Two test processes with a thread per core each only wait for one another: ten times the CPU for small networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Tests that need PostgreSQL and Redis run where `make test` found them (WITH_SERVICES=1)."""
    if os.environ.get("WITH_SERVICES") != "1":
        without = pytest.mark.skip(reason="needs PostgreSQL and Redis: `make test` runs it where they answer")
        for item in items:
            if "services" in item.keywords:
                item.add_marker(without)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Tests with real transactions end with TRUNCATE, which the audit refuses everywhere else."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in ("platform_auditevent", "platform_audithead"):
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_is_not_emptied")
            roles.make()


@pytest.fixture(autouse=True)
def acting_for_everybody():
    """What a test does itself is done as a worker would; a request of a client acts for its user all the same."""
    with row_security.acting_for_everybody():
        yield


@pytest.fixture(autouse=True)
def application_role(request):
    """On PostgreSQL tests run as the role of a service, under row-level security."""
    if connection.vendor != "postgresql" or not request.node.get_closest_marker("django_db"):
        yield
        return
    request.getfixturevalue("db")
    with roles.serving():
        yield


@pytest.fixture(autouse=True)
def media_folder(settings, tmp_path):
    settings.MEDIA_STORE_URL = f"file://{tmp_path / 'media'}"
    return tmp_path / "media"


@pytest.fixture(autouse=True)
def fresh_cache():
    """Throttles count per test."""
    cache.clear()


@pytest.fixture
def study(db):
    return factories.study()


@pytest.fixture
def team(study):
    return factories.care_team(study)


@pytest.fixture
def ada(team):
    return factories.participant(team, "ada")


@pytest.fixture
def ben(team):
    return factories.participant(team, "ben")


@pytest.fixture
def carol(team):
    return factories.clinician("carol", team)


@pytest.fixture
def dan(study):
    return factories.clinician("dan", factories.care_team(study, name="South team"))


@pytest.fixture
def rae(study):
    return factories.member("rae", "researcher", study)


@pytest.fixture
def tom(study):
    return factories.member("tom", "trial_manager", study)


@pytest.fixture
def eve(study):
    return factories.member("eve", "reviewer", study)


@pytest.fixture
def finn(study):
    return factories.member("finn", "reviewer", study)


@pytest.fixture
def ola(study):
    return factories.member("ola", "operator", study)


@pytest.fixture
def phone():
    """`phone(ada)` is an API client signed in as that person; `phone()` is a stranger's."""
    return factories.phone


@pytest.fixture
def shared_database(tmp_path):
    """The database that other threads connect to: on SQLite a file with the schema of the test's own."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    config = connections.settings["default"]
    name, config["NAME"] = config["NAME"], str(tmp_path / "shared.sqlite3")
    file = sqlite3.connect(config["NAME"])
    connection.connection.backup(file)
    file.close()
    yield
    config["NAME"] = name
