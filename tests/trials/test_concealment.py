"""What somebody learns who holds a dump of every table, but not the master key."""

import hashlib
from collections import Counter, defaultdict

import numpy as np
import pytest
from django.db import connection

from mhealth.people.models import Participant
from mhealth.platform.crypto import CannotOpen
from mhealth.trials import randomisation, services
from mhealth.trials.models import Enrolment, Slot, Trial
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db
N_SLOTS = 2000
STRONG = 5.0  # in standard errors; chance reaches it in one feature of two million


def dump() -> dict[str, tuple[list[str], list[tuple]]]:
    """Every row of every table as the database holds it: table -> (columns, rows)."""
    with connection.cursor() as cursor:
        tables = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()]
            tables[table] = ([column[0] for column in cursor.description], rows)
    return tables


def slot_rows() -> list[dict]:
    columns, rows = dump()["trials_slot"]
    return sorted((dict(zip(columns, row, strict=True)) for row in rows), key=lambda row: row["position"])


def strongest_clue(rows: list[dict], arms: np.ndarray) -> float:
    """The largest correlation, in standard errors, between an arm and anything a guesser reads off its row."""
    ranks = np.argsort(np.argsort([row["id"] for row in rows]))
    shortest = min(len(row["sealed_arm"]) for row in rows)
    clues = [
        np.array([len(row["sealed_arm"]) for row in rows]),
        ranks,
        ranks % 2,
        ranks - np.arange(len(rows)),
        np.array([hashlib.sha256(row["sealed_arm"]).digest()[0] for row in rows]),
        *np.array([list(row["sealed_arm"][:shortest]) for row in rows]).T,
    ]
    varying = [clue for clue in clues if clue.std() > 0]
    return max(abs(np.corrcoef(clue, arms)[0, 1]) for clue in varying) * np.sqrt(len(rows))


@pytest.fixture
def sealed(study):
    factories.load_dass21()
    draft = factories.trial(study, stratify_by=[], slots_per_stratum=N_SLOTS)
    return services.seal_list(trial=draft)


@pytest.fixture
def arms(sealed):
    return np.array(randomisation.allocation_list(sealed.seed(), sealed.design)["all"])


def test_all_ciphertexts_have_one_length_and_none_repeats(sealed):
    sealed_arms = [row["sealed_arm"] for row in slot_rows()]
    assert {len(sealed_arm) for sealed_arm in sealed_arms} == {30}  # version, nonce, one byte, tag
    assert len(set(sealed_arms)) == N_SLOTS


def test_length_order_bytes_and_hash_of_a_slot_tell_nothing(sealed, arms):
    assert strongest_clue(slot_rows(), arms) < STRONG


@pytest.mark.parametrize("leak", ["length", "order", "byte"])
def test_the_same_guesser_finds_a_planted_leak(sealed, arms, leak):
    rows = slot_rows()
    for row, arm in zip(rows, arms, strict=True):
        if leak == "length":
            row["sealed_arm"] += b"x" * int(arm)
        elif leak == "order":
            row["id"] += 10 * N_SLOTS * int(arm)
        else:
            row["sealed_arm"] = bytes([int(arm)]) + row["sealed_arm"][1:]
    assert strongest_clue(rows, arms) > 2 * STRONG


def test_without_the_master_key_neither_seed_nor_slot_opens(sealed, settings):
    assert Trial.objects.get().labels()
    settings.MASTER_KEY = b"another key of thirty-two bytes."
    with pytest.raises(CannotOpen):
        Trial.objects.get().seed()
    with pytest.raises(CannotOpen):
        Slot.objects.first().arm_index()


def values_by_person(tables: dict, keys: dict[str, str]) -> dict[tuple[str, str], dict[str, str]]:
    """(table, column) -> person -> what the column says of them; `keys`: the ids that stand for a person."""
    found = defaultdict(lambda: defaultdict(list))
    for table, (columns, rows) in tables.items():
        for row in rows:
            person = next((keys[text] for text in map(str, row) if text in keys), None)
            for column, value in zip(columns, row, strict=True):
                if person:
                    text = str(value)
                    found[table, column][person].append(text)
                    found[table, f"length of {column}"][person].append(str(len(text)))
    return {place: {who: " ".join(sorted(said)) for who, said in people.items()} for place, people in found.items()}


def guessed_right(said: dict[str, str], arms: dict[str, int]) -> float:
    """Share of people whose arm is the majority's among the others who have the same value."""
    seen = Counter((value, arms[who]) for who, value in said.items())
    right = 0.0
    for who, value in said.items():
        same, other = seen[value, arms[who]] - 1, seen[value, 1 - arms[who]]
        right += 0.5 if same == other else float(same > other)
    return right / len(said)


def test_nothing_in_any_table_tells_who_got_what(study):
    factories.load_dass21()
    trial = factories.running(study, stratify_by=["site"], slots_per_stratum=100)
    team, n_people = people.care_team(study), 100
    for n in range(n_people):
        person = people.participant(team, f"p{n}", site=["north", "south"][n % 2], consents=("trial",))
        factories.allocated(person, trial)
    enrolments = list(Enrolment.objects.select_related("participant"))
    arms = {str(e.participant_id): e.slot.arm_index() for e in enrolments}
    keys = {}
    for e in enrolments:
        who = str(e.participant_id)
        keys |= {form: who for pk in (e.participant_id, e.pk) for form in (str(pk), pk.hex)}
    bound = 0.5 + STRONG * 0.5 / np.sqrt(n_people)

    def worst() -> tuple[float, tuple[str, str]]:
        guesses = values_by_person(dump(), keys)
        return max((guessed_right(said, arms), place) for place, said in guesses.items() if len(said) == n_people)

    assert worst()[0] < bound
    for e in enrolments:  # the same guesser finds a planted difference
        Participant.objects.filter(pk=e.participant_id).update(gender="xy"[e.slot.arm_index()])
    assert worst() == (1.0, ("people_participant", "gender"))
