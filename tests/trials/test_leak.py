"""Nobody can tell their arm from how the server answers: a classifier reads everything but the content.

Each of 600 people per arm of a masked trial asks for an activity, as phones do. Read are: status, headers and their
values, the shape of the body (keys, lengths of lists, which values are missing), its size, ids and the latency. What
is content is blanked first: which activity it is, its text, and the sentences of the reasons differ by design.
"""

import json
import os
import time
import uuid

import numpy as np
import pytest
from django.utils import timezone
from scipy import stats

from interventions import services as interventions
from interventions.models import Decision
from mhealth.people.models import Participant
from mhealth.trials.models import Enrolment, Slot
from tests import factories as people
from tests.interventions import factories as content
from tests.trials import factories

pytestmark = pytest.mark.django_db
API = "/api/v1/"
PER_ARM = int(os.environ.get("LEAK_TEST_PER_ARM", "60"))  # 600 in CI; every person makes eight requests
CONTENT = {"activity", "reasons", "note", "text", "title"}
CLOCK = {"Date", "Age", "Expires"}
IDS = {"id", "X-Request-ID", "X-Request-Id"}
BOUND, FOUND = 0.60, 0.90


@pytest.fixture
def answered(study, team, carol, eve, finn):
    """(what was read of each person, arm of each), people of both arms in the random order of the list."""
    content.shelf(carol, [eve, finn])
    factories.load_dass21()
    trial = factories.running(study, stratify_by=[], slots_per_stratum=3 * PER_ARM)
    rng = np.random.default_rng(11)
    mornings, arms, left = [], [], {0: PER_ARM, 1: PER_ARM}
    for number, slot in enumerate(trial.slots.order_by("position")):
        arm = slot.arm_index()
        if not any(left.values()):
            break
        person = _allocated(team, trial, slot, number)
        if not left[arm]:
            continue
        left[arm] -= 1
        mornings.append((person, _asked(person, rng)))
        arms.append(arm)
    assert left == {0: 0, 1: 0}
    # The worker's part stands between the two passes: in one process with it, what a policy costs may be heard in
    # the latency of the next answer. This is a deployment with workers of their own, not the embedded one.
    for decision in Decision.objects.order_by("created_at"):
        interventions.decide(participant=decision.participant, moment=decision.moment)
    return [seen | _answered(person) for person, seen in mornings], np.array(arms)


def _allocated(team, trial, slot: Slot, number: int) -> Participant:
    """As enrolment leaves it; that `allocate` leaves no trace elsewhere is the subject of test_concealment."""
    person = people.participant(team, f"p{number}", site=["north", "south"][number % 2])
    now = timezone.now()
    enrolment = Enrolment.objects.create(trial=trial, participant=person, status="allocated", allocated_at=now)
    Slot.objects.filter(pk=slot.pk).update(taken_by=enrolment)
    return person


def _asked(person: Participant, rng: np.random.Generator) -> dict[str, float]:
    """A person checks in and asks for an activity, twice, as phones with a bad line do."""
    emotion = str(rng.choice(["sadness", "fear", "anger", "happiness", "neutral"]))
    content.checked_in(person, content.fused(emotion, p=float(rng.uniform(0.4, 0.9))))
    phone = people.phone(person)
    seen = _read("me", phone, "get", "me/")
    seen |= _read("ask", phone, "post", "recommendations/")
    return seen | _read("ask twice", phone, "post", "recommendations/")


def _answered(person: Participant) -> dict[str, float]:
    """What the phone reads once the decision is there."""
    phone = people.phone(person)
    seen = _read("decision", phone, "get", "recommendations/")
    decision = Decision.objects.filter(participant=person).latest("created_at")
    event = {"id": str(uuid.uuid4()), "kind": "shown", "at": timezone.now().isoformat()}
    seen |= _read("event", phone, "post", f"recommendations/{decision.pk}/events/", event)
    seen |= _read("others", phone, "post", f"recommendations/{decision.pk}/others/")
    seen |= _read("questionnaires", phone, "get", "questionnaires/")
    return seen | _read("check-ins", phone, "get", "check-ins/")


def _read(name: str, phone, method: str, path: str, sent: dict | None = None) -> dict[str, float]:
    started = time.perf_counter()
    response = getattr(phone, method)(API + path, sent, format="json")
    latency_ms = 1000 * (time.perf_counter() - started)
    body = json.loads(response.content) if response.content else None
    return {f"{name}: {what}": value for what, value in features(response, body, latency_ms).items()}


def features(response, body: object, latency_ms: float) -> dict[str, float]:
    """Numbers, by name; what is not a number becomes a name with the value 1."""
    found = {f"status {response.status_code}": 1.0, "latency": latency_ms}
    for header, value in response.items():
        if header in CLOCK or header == "Content-Length":
            continue  # the length of what is left is counted below
        found[f"header {header}"] = float(len(value))
        if header not in IDS and header != "ETag":
            found[f"header {header}: {value}"] = 1.0
    blank = without_content(body)
    found["size"] = float(len(json.dumps(blank)))
    for place, value in flat(blank):
        found[f"shape {place} {type(value).__name__}"] = 1.0
        if isinstance(value, str) and _is_id(value):
            found |= {f"id {place} {n}": float(byte) for n, byte in enumerate(uuid.UUID(value).bytes[:8])}
    return found


def without_content(value: object, key: str = "") -> object:
    """The same shape with every text of the content gone; an activity leaves only that there is one."""
    if key in CONTENT and isinstance(value, list):
        return ["" for _ in value]
    if key in CONTENT:
        return None if value is None else ""
    if isinstance(value, dict):
        return {name: without_content(each, name) for name, each in value.items()}
    return [without_content(each) for each in value] if isinstance(value, list) else value


def flat(value: object, place: str = ""):
    if isinstance(value, dict):
        for name, each in value.items():
            yield from flat(each, f"{place}.{name}")
    elif isinstance(value, list):
        yield f"{place}[{len(value)}]", None
        for each in value:
            yield from flat(each, f"{place}[]")
    else:
        yield place, value


def _is_id(text: str) -> bool:
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


def auc(read: list[dict[str, float]], arms: np.ndarray) -> float:
    """Of a forest on people that it has not seen; ten folds."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    table = DictVectorizer(sparse=False).fit_transform(read)
    forest = RandomForestClassifier(n_estimators=200, min_samples_leaf=5, max_features=0.3, random_state=1)
    folds = StratifiedKFold(10, shuffle=True, random_state=1)
    return float(roc_auc_score(arms, cross_val_predict(forest, table, arms, cv=folds, method="predict_proba")[:, 1]))


def upper_bound(area: float, n_one: int, n_other: int) -> float:
    """Of the one-sided 95 % interval (Hanley & McNeil 1982, Radiology 143:29)."""
    area = max(area, 1 - area)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n_one - 1) * (q1 - area**2) + (n_other - 1) * (q2 - area**2)
    return area + stats.norm.ppf(0.95) * np.sqrt(variance / (n_one * n_other))


def test_a_classifier_cannot_tell_the_arms_and_finds_twenty_planted_bytes(answered):
    read, arms = answered
    area = auc(read, arms)
    bound = upper_bound(area, PER_ARM, PER_ARM)
    print(f"{PER_ARM} per arm, {len(set().union(*read))} features: AUC {area:.3f}, upper 95 % bound {bound:.3f}")  # noqa: T201
    chance = upper_bound(0.5, PER_ARM, PER_ARM) - 0.5  # with few people the bound is wide even for a coin
    assert bound < max(BOUND, 0.5 + 3 * chance)
    longer = [
        seen | {"decision: size": seen["decision: size"] + 20 * arm} for seen, arm in zip(read, arms, strict=True)
    ]
    assert auc(longer, arms) > FOUND
