"""How fast and in how much memory a million answers leave, beside a Django REST Framework serializer.

    python -m tests.research.bench_export [--items 1000000] [--raw docs/benchmarks/raw/export.jsonl]

Makes a trial in a SQLite file of its own, then exports it in this process. The serializer export reads the same
cohort in the same batches: only the way from rows to CSV differs.
"""

import argparse
import csv
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

ITEMS, OCCASIONS = 21, 12
PAGE_ROWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000, help="item rows to export, at least")
    parser.add_argument("--raw", type=Path, help="append the raw line to this file")
    parser.add_argument("--url", help="an empty database to use instead, as DATABASE_URL")
    parser.add_argument("--made", action="store_true", help="the database of --url holds the people already")
    parser.add_argument("--baseline-rows", type=int, default=114_336, help="rows that the serializers send, at most")
    parser.add_argument("--package", action="store_true", help="measure whole packages too")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)  # the child that makes the data
    given = parser.parse_args()
    people = -(-given.items // (ITEMS * OCCASIONS))
    if given.make:
        set_up(given.url)
        make_trial(people)
        return
    with tempfile.TemporaryDirectory(prefix="bench-export-") as folder:
        url = given.url or f"sqlite:///{folder}/bench.sqlite3"
        child = [sys.executable, "-m", "tests.research.bench_export", "--items", str(given.items)]
        if not given.made:
            subprocess.run([*child, "--url", url, "--make"], check=True)
        set_up(url)
        found = measure(Path(folder), given.baseline_rows, given.package) | {
            "people": people,
            "database": url.partition(":")[0],
        }
    found["command"] = f"python -m tests.research.bench_export --items {given.items}"
    line = json.dumps(found | {"date": f"{datetime.now(UTC):%Y-%m-%d}", "python": platform.python_version()})
    sys.stdout.write(line + "\n")
    if given.raw:
        with open(given.raw, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def set_up(url: str) -> None:
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    import django

    django.setup()


def measure(folder: Path, baseline_rows: int, whole: bool) -> dict:
    from django.urls import get_resolver

    from mhealth.trials.models import Trial

    serving = get_resolver().url_patterns  # what a serving process has loaded, it has loaded before an export
    trial = Trial.objects.get()
    before = rss_mib()
    from mhealth.research import package, registry, tabular
    from mhealth.research.cohort import Cohort

    found: dict = {"routes": len(serving), "rss_before_mib": before, "rss_imported_mib": rss_mib()}
    cohort = Cohort(trial)
    long = next(table for table in registry.tables(cohort.versions) if table.name == "answers_long")
    with timed(found, "long_csv_parquet"):
        found["rows"] = tabular.write(long, tabular.batches(long, cohort), folder)
    if whole:
        (folder / "package").mkdir()
        with timed(found, "package_csv_parquet_fhir"):
            package.write(trial, folder / "package", package.Order(("csv", "parquet", "fhir")))
    given = {"serializer_same_reading": long_rows, "serializer_models": rows_of_models}
    given |= {"serializer_nested": rows_of_nested_serializers}
    for name, rows_of_kind in given.items():
        rows = itertools.islice(rows_of_kind(cohort), baseline_rows)
        with timed(found, name):
            export = flat_export if name == "serializer_nested" else serializer_export
            found[f"{name}_rows"] = export(rows, long, folder / f"{name}.csv")
        found[f"times_{name}_cpu"] = times(found, name, "cpu")
        found[f"times_{name}_wall"] = times(found, name, "wall")
    theirs, ours = folder / "serializer_same_reading.csv", folder / "answers_long.csv"
    found["same_bytes"] = theirs.read_bytes() == ours.read_bytes()[: theirs.stat().st_size]
    return found | {"item_rows": found["rows"] * ITEMS // (ITEMS + 3)}


def times(found: dict, other: str, clock: str) -> float:
    """How many times the rows per second of the other way."""
    ours = found["rows"] / found[f"long_csv_parquet_{clock}_s"]
    return round(ours / (found[f"{other}_rows"] / found[f"{other}_{clock}_s"]), 1)


@contextmanager
def timed(found: dict, name: str):
    """Wall and CPU seconds, and the most memory above what the process had before the first export."""
    wall, cpu, most, stop = time.monotonic(), time.process_time(), [rss_mib()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], rss_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield
    stop.set()
    watcher.join()
    found[f"{name}_wall_s"] = round(time.monotonic() - wall, 2)
    found[f"{name}_cpu_s"] = round(time.process_time() - cpu, 2)
    found[f"{name}_above_mib"] = round(most[0] - found["rss_before_mib"], 1)


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 2**20, 1)


def serializer_export(rows, table, path: Path) -> int:
    """As a list view would: a serializer over a page of rows, one dictionary each, then CSV."""
    from rest_framework import serializers

    kinds = {"string": serializers.CharField, "integer": serializers.IntegerField}
    kinds |= {"number": serializers.FloatField, "boolean": serializers.BooleanField}
    fields = {column.name: kinds[column.type](allow_null=True) for column in table.columns}
    serializer = type("LongRowSerializer", (serializers.Serializer,), fields)
    n_rows = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, table.names, lineterminator="\n")
        lines.writeheader()
        while page := list(itertools.islice(rows, PAGE_ROWS)):
            shown = serializer(page, many=True).data
            lines.writerows({name: worded(value) for name, value in row.items()} for row in shown)
            n_rows += len(page)
    return n_rows


def flat_export(rows, table, path: Path) -> int:
    n_rows = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, table.names, lineterminator="\n")
        lines.writeheader()
        for row in rows:
            lines.writerow({name: worded(value) for name, value in row.items()})
            n_rows += 1
    return n_rows


def worded(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def long_rows(cohort):
    """Read as our export reads."""
    for person in cohort.people:
        for response in cohort.responses(person):
            yield from rows_of(person, response, response.scored.values())


def rows_of_models(cohort):
    """Read as a view set would: model instances with their relations, whose people are known already."""
    people, responses = instances(cohort)
    for response in responses.iterator(chunk_size=PAGE_ROWS):
        yield from rows_of(people[response.occasion.participant_id], response, response.scores.all())


def rows_of_nested_serializers(cohort):
    """A ModelSerializer of the response with one of its scores inside, flattened: fewer things to serialize."""
    from rest_framework import serializers

    from mhealth.outcomes.models import Response, ScaleScore

    class ScoreSerializer(serializers.ModelSerializer):
        class Meta:
            model = ScaleScore
            fields = ["scale", "value", "band", "n_missing", "prorated"]

    class ResponseSerializer(serializers.ModelSerializer):
        occasion = serializers.CharField(source="occasion.name")
        instrument = serializers.CharField(source="occasion.version.instrument.slug")
        instrument_version = serializers.CharField(source="occasion.version")
        answers = serializers.ListField(child=serializers.IntegerField(allow_null=True))
        scores = ScoreSerializer(many=True)

        class Meta:
            model = Response
            fields = ["occasion", "instrument", "instrument_version", "answers", "scores"]

    people, responses = instances(cohort)
    for response in responses.iterator(chunk_size=PAGE_ROWS):
        person, shown = people[response.occasion.participant_id], ResponseSerializer(response).data
        answers, scores = shown.pop("answers"), shown.pop("scores")
        shared = {"person": person.code, "arm": person.arm or None, **person.days(response.answered_at), **shown}
        for number, answer in enumerate(answers, start=1):
            yield shared | {"kind": "item", "name": f"q{number}", "value": answer}
        for score in scores:
            yield shared | {"kind": "scale", "name": score.pop("scale"), **score}


def instances(cohort):
    """People by id, and a query for their answers."""
    from mhealth.outcomes.models import Response

    people = {person.participant.pk: person for person in cohort.people}
    related = ("occasion__version__instrument", "occasion__participant__data_key")
    found = Response.objects.for_analysis().filter(occasion__participant__in=cohort.enrolments.values("participant"))
    found = found.select_related(*related).defer("occasion__version__definition", "occasion__version__texts")
    return people, found.prefetch_related("scores").order_by("occasion__participant", "occasion__opens_at")


def rows_of(person, response, scores):
    version = response.occasion.version
    shared = {"person": person.code, "arm": person.arm or None, "occasion": response.occasion.name}
    shared |= person.days(response.answered_at)
    shared |= {"instrument": version.instrument.slug, "instrument_version": str(version)}
    for number, answer in enumerate(response.answers, start=1):
        item = {"kind": "item", "name": f"q{number}", "value": answer, "band": None}
        yield shared | item | {"n_missing": None, "prorated": None}
    for score in scores:
        row = {"kind": "scale", "name": score.scale, "value": score.value, "band": score.band or None}
        yield shared | row | {"n_missing": score.n_missing, "prorated": score.prorated}


def make_trial(n_people: int) -> None:
    """People who answered a DASS-21 weekly for twelve weeks, some items left out; sealed as in the product."""
    import random
    from dataclasses import asdict

    from django.core.management import call_command

    from mhealth.outcomes import scoring
    from mhealth.outcomes.models import InstrumentVersion, Occasion, Response, ScaleScore
    from mhealth.people.models import Consent, Participant, Scope
    from mhealth.platform import crypto
    from mhealth.platform.models import DataKey
    from mhealth.trials.models import Enrolment, Slot
    from tests import factories as people
    from tests.outcomes import instruments
    from tests.trials import factories as trials

    call_command("migrate", verbosity=0)
    rng, start = random.Random(7), datetime(2026, 1, 5, 9, tzinfo=UTC)
    study = people.study()
    trials.load_dass21()
    InstrumentVersion.objects.update(texts={"en": instruments.text("en", ITEMS, 4)})
    version = InstrumentVersion.objects.get()
    trial = trials.running(study, stratify_by=[], severity_cuts=[], slots_per_stratum=n_people + 10)
    slots = iter(Slot.objects.filter(trial=trial).order_by("position"))
    for first in range(0, n_people, 200):
        rows: dict = {kind: [] for kind in (DataKey, Participant, Consent, Enrolment, Occasion, Response, ScaleScore)}
        taken = []
        for number in range(first, min(first + 200, n_people)):
            key = DataKey()
            secret = crypto.new_key()
            key.wrapped = crypto.wrap(secret, key._context)
            person = Participant(
                study=study, data_key=key, site=rng.choice(study.sites), birth_year=1960 + number % 40, sex="female"
            )
            began = start + timedelta(days=number % 100)
            enrolment = Enrolment(
                trial=trial, participant=person, status="allocated", enrolled_at=began, allocated_at=began
            )
            consent = Consent(participant=person, scope=Scope.TRIAL, given=True, document_version="1", language="en")
            consent.given_at = began
            for kind, row in ((DataKey, key), (Participant, person), (Consent, consent), (Enrolment, enrolment)):
                rows[kind].append(row)
            slot = next(slots)
            slot.taken_by = enrolment
            taken.append(slot)
            for week in range(OCCASIONS):
                opens = began + timedelta(weeks=week)
                occasion = Occasion(
                    participant=person, version=version, number=week + 1, name=f"week {week}", created_at=began
                )
                occasion.opens_at, occasion.due_at = opens, opens + timedelta(days=3)
                occasion.closes_at = opens + timedelta(days=7)
                answers = [rng.choice((0, 1, 2, 3)) for _ in range(ITEMS)]
                if rng.random() < 0.1:
                    answers[rng.randrange(ITEMS)] = None
                response = Response(occasion=occasion, answered_at=opens, received_at=opens, in_window=True)
                response.language = "en"
                response.answers_sealed = crypto.seal(secret, json.dumps(answers).encode(), response._context)
                rows[Occasion].append(occasion)
                rows[Response].append(response)
                rows[ScaleScore] += [
                    ScaleScore(response=response, **asdict(score))
                    for score in scoring.score(version.rules, answers).values()
                ]
        for kind, made in rows.items():
            kind.objects.bulk_create(made, batch_size=500)
        Slot.objects.bulk_update(taken, ["taken_by"])


if __name__ == "__main__":
    main()
