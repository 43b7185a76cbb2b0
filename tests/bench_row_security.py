"""What row-level security costs: requests as the owner of the tables and as the role under it, in turns.

    python -m tests.bench_row_security --url postgresql://postgres@127.0.0.1:5432/EMPTY [--raw FILE]

Fills an empty PostgreSQL database with people, check-ins with two estimates each, a risk event and an enrolment per
person, and asks through Django's handler in this process: what a web process does, without the network.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

PEOPLE, TEAMS, CHECK_INS = 400, 10, 150
ROUNDS = 60

FILL = """
INSERT INTO checkins_checkin (id, participant_id, recorded_at, received_at, zone, digest, clock_suspect, late, context,
    purpose, prompt_asked, prompt_probability, reason, status, queued_at, lease_no, attempts, fault, fused)
SELECT gen_random_uuid(), p.id, now() - n * interval '1 hour', now(), 'UTC', repeat('0', 64), false, false, '{}',
    'daily', false, 0, '', 'done', now(), 0, 0, '', '{}'
FROM people_participant AS p, generate_series(1, %(check_ins)s) AS n;
INSERT INTO checkins_estimate (check_in_id, modality, abstained, model_version, reason)
SELECT c.id, m, true, '', 'silent' FROM checkins_checkin AS c, unnest(ARRAY['face', 'voice']) AS m;
ANALYZE;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True, help="an empty PostgreSQL database, as its owner")
    parser.add_argument("--raw", type=Path, help="append the raw line to this file")
    given = parser.parse_args()
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "ALLOWED_HOSTS": "testserver"}
    os.environ |= settings | {"DATABASE_URL": given.url}
    import django

    django.setup()
    from mhealth.platform.row_security import acting_for_everybody

    with acting_for_everybody():
        found = measured()
    found |= {"people": PEOPLE, "check_ins": PEOPLE * CHECK_INS, "rounds": ROUNDS}
    found |= {"command": "python -m tests.bench_row_security", "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    line = json.dumps(found | {"python": platform.python_version(), "cpus": os.cpu_count()})
    sys.stdout.write(line + "\n")
    if given.raw:
        with open(given.raw, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def measured() -> dict:
    """Milliseconds by request and role: the median over rounds, and the best, for a machine that has other work."""
    from django.core.management import call_command
    from django.db import connection

    from tests import roles

    call_command("migrate", verbosity=0)
    roles.make()
    requests = made()
    times: dict[tuple[str, str], list[float]] = {}
    for n in range(ROUNDS + 5):
        for role in ("owner", "service"):
            if role == "service":
                with roles.serving():
                    took = {name: taken(ask) for name, ask in requests.items()}
            else:
                took = {name: taken(ask) for name, ask in requests.items()}
            if n >= 5:  # the first are warm-up
                for name, ms in took.items():
                    times.setdefault((name, role), []).append(ms)
    connection.close()
    return {
        f"{name}, {role}, ms": {"median": round(statistics.median(ms), 2), "best": round(min(ms), 2)}
        for (name, role), ms in times.items()
    }


def taken(ask) -> float:
    started = time.perf_counter()
    answer = ask()
    took = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, answer.content
    return took


def made() -> dict:
    """Name of the request -> what sends it."""
    from django.db import connection
    from django.utils import timezone

    from mhealth.safety.models import RiskEvent
    from mhealth.trials.models import Enrolment
    from tests import factories
    from tests.trials import factories as trials

    study = factories.study()
    teams = [factories.care_team(study, name=f"team {n}") for n in range(TEAMS)]
    people = [factories.participant(teams[n % TEAMS], f"person{n}", consents=()) for n in range(PEOPLE)]
    trials.load_dass21()
    trial = trials.running(study)
    now = timezone.now()
    RiskEvent.objects.bulk_create(
        RiskEvent(participant=person, severity="severe", rule="test", source="test", act_by=now) for person in people
    )
    Enrolment.objects.bulk_create(Enrolment(participant=person, trial=trial) for person in people)
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"check_ins": CHECK_INS})
    ada, carol = factories.phone(people[0]), factories.phone(factories.clinician("carol", teams[0]))
    tom = factories.phone(factories.member("tom", "trial_manager", study))
    return {
        "own check-ins": lambda: ada.get("/api/v1/check-ins/"),
        "inbox of a clinician": lambda: carol.get("/api/v1/risk-events/"),
        "enrolments of a trial": lambda: tom.get(f"/api/v1/trials/{trial.slug}/enrolments/"),
    }


if __name__ == "__main__":
    main()
