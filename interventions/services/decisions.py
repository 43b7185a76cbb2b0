"""One decision: asked for once per moment, made by a worker under a lease, stored so that a stranger can replay it."""

import hashlib
import json
import secrets
import uuid
from datetime import datetime, timedelta
from functools import partial
from importlib import metadata
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from interventions import context, gates, policies, reasons
from interventions.models import Activity, CareChoice, ContentFreeze, Decision, DecisionEvent, ModelVersion, Version
from mhealth.checkins.models import CheckIn
from mhealth.people.models import Participant
from mhealth.platform import hints
from mhealth.platform.leases import LeaseLost, WorkStatus
from mhealth.safety import services as safety
from mhealth.trials import services as trials
from mhealth.trials.models import Enrolment
from recommender.policy import Candidate, Choice, PolicyConfig

RECORD_FORMAT = 1
SEED_BITS = 63
DUE_FOR = timedelta(days=1)  # a check-in older than this asks for nothing any more
MOST_DUE = 500


def ask(*, participant: Participant, moment: str, check_in: CheckIn | None = None) -> Decision:
    """The decision of a moment, queued if it is new. moment: "check_in:<id>", "asked:<id>", "scheduled:<time>"."""
    decision, new = Decision.objects.get_or_create(
        participant=participant, moment=moment, defaults={"check_in": check_in}
    )
    if new:
        transaction.on_commit(partial(_queue, decision))
    return decision


def _queue(decision: Decision) -> None:
    from interventions import tasks

    if hints.hint(tasks.decide, decision_id=str(decision.pk)):
        Decision.objects.mark_hinted(decision.pk)


def decide(
    *, participant: Participant, moment: str, check_in: CheckIn | None = None, at: datetime | None = None
) -> Decision:
    """Decide a moment in this process. A moment that was decided before keeps its decision."""
    decision, _ = Decision.objects.get_or_create(
        participant=participant, moment=moment, defaults={"check_in": check_in}
    )
    with Decision.objects.leased(decision.pk) as leased:
        if leased:
            fill(leased, at)
    decision.refresh_from_db()
    return decision


def after_analysis(check_in_id: uuid.UUID) -> None:
    """A check-in is finished: ask for the decision it leads to, if it leads to one."""
    check_in = CheckIn.objects.usable().filter(pk=check_in_id).select_related("participant").first()
    if check_in:
        ask(participant=check_in.participant, moment=f"check_in:{check_in.pk}", check_in=check_in)


def decide_due(now: datetime | None = None) -> int:
    """Ask for the decisions that are due and missing: of finished check-ins, and of set times. Returns how many."""
    now = now or timezone.now()
    missing = CheckIn.objects.usable().filter(finished_at__gt=now - DUE_FOR, decisions=None)
    check_ins = list(missing.order_by("finished_at").values_list("pk", flat=True)[:MOST_DUE])
    for check_in_id in check_ins:
        after_analysis(check_in_id)
    return len(check_ins) + _ask_at_set_times(now)


def _ask_at_set_times(now: datetime) -> int:
    """Study setting `decision_times`, for example ["09:00", "18:30"]: on each person's own clock, within the hour."""
    asked = 0
    for person in Participant.objects.active().exclude(study__settings__decision_times=None).select_related("study"):
        local = now.astimezone(ZoneInfo(person.zone))
        for text in person.study.settings["decision_times"]:
            hour, minute = map(int, text.split(":"))
            due = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
            moment = f"scheduled:{due:%Y-%m-%dT%H:%M}"
            late_by = local - due
            if timedelta(0) <= late_by < timedelta(hours=1) and not person.decisions.filter(moment=moment).exists():
                ask(participant=person, moment=moment)
                asked += 1
    return asked


def fill(decision: Decision, at: datetime | None = None) -> None:
    """Make the choice and store it with everything it was made from. Under the lease of the row."""
    at = at or timezone.now()
    participant = Participant.objects.select_related("study", "data_key").get(pk=decision.participant_id)
    check_in = decision.check_in
    snapshot = context.read(participant, check_in, at)
    freeze = freeze_of(participant)
    situation = read_situation(participant, decision, snapshot.bands, freeze, at)
    activities = list(Activity.objects.submitted().in_clinician_order().prefetch_related("contra_indications"))
    candidates = [_candidate(activity, situation) for activity in activities]
    chosen = policies.choose(
        policy=situation.policy,
        activities=activities,
        candidates=candidates,
        snapshot=snapshot,
        seed=secrets.randbits(SEED_BITS),
        config=_config(participant, situation, freeze),
        model=freeze.model if freeze else ModelVersion.objects.present(),
    )
    activity = next((a for a in activities if a.key == chosen.choice.activity), None)
    record = _record(participant, decision, situation, snapshot, activities, activity, chosen)
    with transaction.atomic():
        if Participant.objects.hold(participant.pk).status == Participant.Status.ERASED:
            raise LeaseLost(str(decision.pk))  # in between: nothing of them is written any more
        decision.finish(
            WorkStatus.DONE,
            decided_at=at,
            outcome=Decision.Outcome.OFFERED if activity else Decision.Outcome.NOTHING_NOW,
            version=situation.version_of(activity) if activity else None,
            sealed_record=decision.sealed(record),
        )


def read_situation(
    participant: Participant,
    decision: Decision,
    bands: dict[str, str],
    freeze: ContentFreeze | None,
    at: datetime,
) -> gates.Situation:
    local = at.astimezone(ZoneInfo(participant.zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    texts: dict[int, dict[str, Version]] = {}
    for version in Version.objects.offerable(at.date()).select_related("activity"):
        texts.setdefault(version.activity_id, {})[version.language] = version
    choices = tuple(CareChoice.objects.in_force(at).filter(participant=participant).select_related("contra_indication"))
    offered_today = Decision.objects.offered().filter(participant=participant, decided_at__range=(midnight, at))
    return gates.Situation(
        participant=participant,
        kind=decision.kind,
        local=local,
        language=_language(participant, texts),
        policy=trials.policy_for(participant),
        texts=texts,
        frozen=frozenset(freeze.versions.values_list("pk", flat=True)) if freeze else None,
        flags=_flags(choices, bands),
        severe_risk=safety.open_severe(participant) is not None,
        done_today=frozenset(
            DecisionEvent.objects.filter(
                decision__participant=participant, kind=DecisionEvent.Kind.COMPLETED, at__range=(midnight, at)
            ).values_list("decision__version__activity__key", flat=True)
        ),
        unasked_today=offered_today.exclude(moment__startswith="asked:").count(),
        choices=choices,
        settings=participant.study.settings,
    )


def _language(participant: Participant, texts: dict[int, dict[str, Version]]) -> str:
    """The person's own where there is any text in it, else the study's."""
    spoken = {language for versions in texts.values() for language in versions}
    return participant.language if participant.language in spoken else participant.study.language


def _flags(choices: tuple[CareChoice, ...], bands: dict[str, str]) -> frozenset[str]:
    from interventions.models import ContraIndication

    said = {choice.contra_indication.tag for choice in choices if choice.contra_indication}
    return frozenset(said | {each.tag for each in ContraIndication.objects.all() if each.met_by(bands)})


def freeze_of(participant: Participant) -> ContentFreeze | None:
    trial_ids = Enrolment.objects.in_effect().filter(participant=participant).values("trial")
    return ContentFreeze.objects.filter(trial__in=trial_ids).select_related("model").first()


def _candidate(activity: Activity, situation: gates.Situation) -> Candidate:
    version = situation.version_of(activity)
    return Candidate(
        activity=activity.key,
        technique=activity.technique,
        version=str(version.pk) if version else "",
        closed_by=gates.reasons(activity, situation),
    )


def _config(participant: Participant, situation: gates.Situation, freeze: ContentFreeze | None) -> PolicyConfig:
    """Whoever asks, or is at risk, gets an offer for certain; else send or nothing is drawn."""
    return PolicyConfig(
        send_probability=participant.study.settings.get("send_probability", PolicyConfig.send_probability),
        always_send=situation.kind == "asked" or situation.severe_risk,
    )


def _record(
    participant: Participant,
    decision: Decision,
    situation: gates.Situation,
    snapshot: context.Snapshot,
    activities: list[Activity],
    activity: Activity | None,
    chosen: policies.Chosen,
) -> dict:
    inputs = snapshot.to_dict()
    versions = {a.key: v for a in activities if (v := situation.version_of(a))}
    titles = {key: version.title for key, version in versions.items()}
    pinned = activity is not None and activity.pk in situation.chosen(CareChoice.Kind.PIN)
    return {
        "format": RECORD_FORMAT,
        "code_version": metadata.version("mhealth-backend"),
        "moment": decision.moment,
        "policy": situation.policy,
        "model": chosen.model,
        "fallback": chosen.fallback,
        "language": situation.language,
        "severe_risk": situation.severe_risk,
        "snapshot": inputs,
        "snapshot_sha256": digest_of(inputs),
        "activities": [_described(a) for a in activities],
        "versions": {key: [version.pk, version.digest] for key, version in versions.items()},
        "choice": chosen.choice.record(),
        "others": _others(participant, chosen.choice),
        "explanation": chosen.explanation,
        "reasons": {
            "shared": reasons.shared(activity, snapshot, situation.severe_risk),
            "open": reasons.open_(activity, snapshot, chosen, pinned, titles),
        },
    }


def _others(participant: Participant, choice: Choice) -> list[str]:
    """Keys of what the person may see beside the activity. In a masked trial nothing: it would tell the arm."""
    return [] if trials.is_in_masked_trial(participant) else choice.alternatives(Decision.OTHERS_MOST)


def _described(activity: Activity) -> dict:
    seen = policies.described(activity)
    return {"id": seen.id, "technique": seen.technique, "tags": list(seen.tags), "attributes": dict(seen.attributes)}


def digest_of(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
