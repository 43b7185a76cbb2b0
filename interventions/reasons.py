"""Why this activity: sentences approved by clinicians, their slots filled from what the decision really used.

Shared reasons say technique, purpose and the emotion shown, and are all that people in a masked trial get: they are
the same for every arm. Open reasons also say what the choice was made from.
"""

from interventions.context import Snapshot
from interventions.models import Activity, ReasonTexts, Version
from interventions.policies import Chosen, scales_met
from recommender.policy import CLINICIAN_ORDER, PERSONALISED
from recommender.reward import INTENDED

HELPED_FROM, DID_NOT_HELP_TO = 3.5, 2.0  # mean helpfulness, 1 to 5
LATENT_MOST = 0.5  # above this share of the score, the sentence says so
SURE_FROM = {"high": 0.5, "medium": 0.25, "low": 0.0}  # probability of this activity among those possible
MOST_OPEN = 4

# Sentences that texts approved before 2026-11-22 do not have: without one, nothing is said.
LATER = ("made_for_emotion", "made_for_corrected")

Reason = dict  # {"key": sentence, "slots": {slot: code or value}}


def shared(activity: Activity | None, snapshot: Snapshot, severe_risk: bool) -> list[Reason]:
    if activity is None:
        return [_reason("nothing_now")]
    first = _reason("grounding") if severe_risk else _emotion(snapshot)
    return [first, _reason("technique", technique=activity.technique), _reason("purpose", purpose=activity.technique)]


def _emotion(snapshot: Snapshot) -> Reason:
    """Whatever was chosen: a reason that appeared only when it fits would tell the arms apart."""
    if snapshot.source == "none":
        return _reason("no_check_in")
    if snapshot.source == "correction":
        if snapshot.labels == ("neutral",):
            return _reason("emotion_corrected_neutral")
        return _reason("emotion_corrected", emotion=snapshot.labels[0])
    if snapshot.source == "unreadable" or snapshot.abstained:
        return _reason("emotion_uncertain")
    emotion = snapshot.context.emotion
    top = max(emotion, key=emotion.get)
    return _reason("emotion_neutral") if top == "neutral" else _reason("emotion", emotion=top)


def open_(
    activity: Activity | None, snapshot: Snapshot, chosen: Chosen, pinned: bool, titles: dict[str, str]
) -> list[Reason]:
    """What the choice was made from. titles: of activities by key, in the person's language."""
    if activity is None:
        return []
    if pinned:
        return [_reason("clinician_pin")]
    choice = chosen.choice
    if choice.policy == CLINICIAN_ORDER:
        order = [key for key in choice.inputs["order"] if key in {c.activity for c in choice.candidates if c.eligible}]
        place = _reason("clinician_order", step=order.index(activity.key) + 1, steps=len(order))
        return [*_scales(activity, snapshot), *_own_history(activity, snapshot), place, _reason("chance")]
    if choice.policy == PERSONALISED:
        probability = choice.probabilities[choice.index]
        sureness = next(word for word, least in SURE_FROM.items() if probability >= least)
        found = _from_parts(activity, snapshot, chosen.explanation, titles)[:MOST_OPEN]
        return [*found, _reason("sureness", sureness=sureness), _reason("chance")]
    return []


def _scales(activity: Activity, snapshot: Snapshot) -> list[Reason]:
    if not snapshot.bands:
        return [_reason("dass_scale_missing")]
    return [
        _reason("dass_scale", scale=scale, band=snapshot.bands[scale]) for scale in scales_met(activity, snapshot.bands)
    ]


def _own_history(activity: Activity, snapshot: Snapshot) -> list[Reason]:
    times = [d.outcome for d in snapshot.history if d.activity == activity.key and d.outcome.completed]
    if not times:
        return [_reason("new_activity")]
    ratings = [outcome.helpfulness for outcome in times if outcome.helpfulness is not None]
    mean = sum(ratings) / len(ratings) if ratings else None
    if mean is not None and mean >= HELPED_FROM:
        key = "helped_before" if len(times) > 1 else "helped_before_once"
        return [_reason(key, times=len(times), rating=round(mean, 1))]
    return [_reason("did_not_help_before")] if mean is not None and mean <= DID_NOT_HELP_TO else []


def _helped(key: str, snapshot: Snapshot) -> bool:
    """Whether the person has completed an activity and, where they rated it, found it helpful."""
    times = [d.outcome for d in snapshot.history if d.activity == key and d.outcome.completed]
    ratings = [outcome.helpfulness for outcome in times if outcome.helpfulness is not None]
    return bool(times) and (not ratings or sum(ratings) / len(ratings) >= HELPED_FROM)


def _from_parts(
    activity: Activity, snapshot: Snapshot, parts: dict[str, float], titles: dict[str, str]
) -> list[Reason]:
    """Sentences for the parts of the score that speak for the activity, the largest first; each sentence once."""
    total = sum(abs(value) for value in parts.values())
    latent = _reason("latent") if total and abs(parts.get("latent", 0.0)) / total > LATENT_MOST else None
    found = [latent] if latent else []
    for name, value in sorted(parts.items(), key=lambda pair: -pair[1]):
        if value > 0:
            found += [r for r in _from_part(name, activity, snapshot, titles) if r not in found]
    return found


def _from_part(name: str, activity: Activity, snapshot: Snapshot, titles: dict[str, str]) -> list[Reason]:
    if name == INTENDED:
        return _made_for_what_shows(activity, snapshot)
    kind, _, rest = name.partition(":")
    column = rest.rpartition("*")[2]
    if kind == "past" and rest != activity.key:  # it may also speak for this one by not having helped
        helped = rest in titles and _helped(rest, snapshot)
        return [_reason("similar_helped", other_title=titles[rest])] if helped else []
    if kind in ("past", "repeat", "personal"):
        return _own_history(activity, snapshot)
    if column.removesuffix("_slope") in snapshot.bands:
        scale = column.removesuffix("_slope")
        return [_reason("dass_scale", scale=scale, band=snapshot.bands[scale])]
    if column in ("hour_sin", "hour_cos") and snapshot.history:
        return [_reason("time_of_day")]
    return []


def _made_for_what_shows(activity: Activity, snapshot: Snapshot) -> list[Reason]:
    """Of a check-in that could be read, or of the person's own word for it."""
    made_for, emotion = activity.targets.get("emotions", ()), snapshot.context.emotion
    if snapshot.source == "correction":
        return [_reason("made_for_corrected")] if set(snapshot.labels) & set(made_for) else []
    if snapshot.source != "check_in" or snapshot.abstained or not emotion:
        return []
    return [_reason("made_for_emotion")] if max(emotion, key=lambda name: emotion[name]) in made_for else []


def _reason(key: str, **slots: object) -> Reason:
    return {"key": key, "slots": slots}


WORD_LISTS = {"emotion": "emotions", "scale": "scales", "band": "bands", "sureness": "sureness"}


def render(reasons: list[Reason], texts: ReasonTexts, version: Version | None) -> list[str]:
    """The sentences in the language of `texts`; version: the activity offered."""
    sentences = {**texts.sentences["open"], **texts.sentences["shared"]}
    return [
        sentences[reason["key"]].format(**_words(reason["slots"], texts.words, version))
        for reason in reasons
        if reason["key"] in sentences or reason["key"] not in LATER
    ]


def _words(slots: dict, words: dict, version: Version | None) -> dict[str, object]:
    filled: dict[str, object] = {"title": version.title, "minutes": version.activity.minutes} if version else {}
    for slot, value in slots.items():
        if slot in ("technique", "purpose"):
            filled[slot] = words["techniques"][value]["name" if slot == "technique" else "purpose"]
        else:
            filled[slot] = words[WORD_LISTS[slot]][value] if slot in WORD_LISTS else value
    return filled
