"""Hard gates: what closes an activity for a person now, before any score. Each returns its reason, or None.

An emotion estimate is no input of any gate: it never says that something is safe, or that somebody is at risk.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time

from interventions.models import Activity, CareChoice, Version
from mhealth.people.models import Participant

MOST_UNASKED_PER_DAY = 6
QUIET_HOURS = ("22:00", "07:00")  # local; for moments that nobody asked for


@dataclass(frozen=True)
class Situation:
    """What gates look at, read once per decision.

    texts: offerable version by activity and language.   frozen: versions a trial holds on to, None outside of one.
    flags: contra-indication tags that hold for the person.   done_today, unasked_today: in the person's zone.
    """

    participant: Participant
    kind: str
    local: datetime
    language: str
    policy: str | None
    texts: dict[int, dict[str, Version]]
    frozen: frozenset[int] | None = None
    flags: frozenset[str] = frozenset()
    severe_risk: bool = False
    done_today: frozenset[str] = frozenset()
    unasked_today: int = 0
    choices: tuple[CareChoice, ...] = ()
    settings: dict = field(default_factory=dict)

    def version_of(self, activity: Activity) -> Version | None:
        """The text to offer."""
        version = self.texts.get(activity.pk, {}).get(self.language)
        return version if version and (self.frozen is None or version.pk in self.frozen) else None

    def chosen(self, kind: str) -> set[int | None]:
        return {choice.activity_id for choice in self.choices if choice.kind == kind}


def consent(activity: Activity, now: Situation) -> str | None:
    """Nothing for somebody who left; nothing unasked at a set time without consent to be contacted."""
    if now.participant.status != Participant.Status.ACTIVE:
        return "consent"
    return "consent" if now.kind == "scheduled" and not now.participant.consents_to("contact") else None


def arm(activity: Activity, now: Situation) -> str | None:
    return "arm" if now.policy is None else None


def validation(activity: Activity, now: Situation) -> str | None:
    texts = now.texts.get(activity.pk, {}).values()
    if not texts:
        return "validation"
    return "validation" if now.frozen is not None and not {text.pk for text in texts} & now.frozen else None


def language(activity: Activity, now: Situation) -> str | None:
    return "language" if now.texts.get(activity.pk) and now.language not in now.texts[activity.pk] else None


def contra_indication(activity: Activity, now: Situation) -> str | None:
    met = sorted(now.flags & {each.tag for each in activity.contra_indications.all()})
    return f"contra_indication: {', '.join(met)}" if met else None


def risk(activity: Activity, now: Situation) -> str | None:
    return "risk" if now.severe_risk and not activity.grounding else None


def done_today(activity: Activity, now: Situation) -> str | None:
    """A grounding exercise may be repeated while somebody needs it."""
    return "done_today" if activity.key in now.done_today and not now.severe_risk else None


def frequency_cap(activity: Activity, now: Situation) -> str | None:
    """Whoever asks is not kept waiting by a cap that protects from being prompted too often."""
    most = now.settings.get("most_offers_per_day", MOST_UNASKED_PER_DAY)
    return "frequency_cap" if now.kind != "asked" and now.unasked_today >= most else None


def quiet_hours(activity: Activity, now: Situation) -> str | None:
    if now.kind != "scheduled":
        return None
    start, end = (time.fromisoformat(t) for t in now.settings.get("quiet_hours", QUIET_HOURS))
    at = now.local.time()
    quiet = start <= at or at < end if start > end else start <= at < end
    return "quiet_hours" if quiet else None


def paused(activity: Activity, now: Situation) -> str | None:
    return "paused_by_clinician" if now.chosen(CareChoice.Kind.PAUSE) else None


def excluded(activity: Activity, now: Situation) -> str | None:
    return "excluded_by_clinician" if activity.pk in now.chosen(CareChoice.Kind.EXCLUDE) else None


def pinned(activity: Activity, now: Situation) -> str | None:
    pins = now.chosen(CareChoice.Kind.PIN)
    return "another_pinned_by_clinician" if pins and activity.pk not in pins else None


GATES: tuple[Callable[[Activity, Situation], str | None], ...] = (
    consent,
    arm,
    validation,
    language,
    contra_indication,
    risk,
    done_today,
    frequency_cap,
    quiet_hours,
    paused,
    excluded,
    pinned,
)


def reasons(activity: Activity, now: Situation) -> tuple[str, ...]:
    """Every gate that is closed; empty means that the activity may be offered."""
    return tuple(reason for gate in GATES if (reason := gate(activity, now)))
