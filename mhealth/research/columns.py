"""The one registry of columns: every file of an export, its types and its codebook come from here."""

from collections.abc import Sequence
from dataclasses import dataclass

from mhealth.outcomes.models import InstrumentVersion
from mhealth.outcomes.scoring import Scale

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
AGE_BANDS = ("under 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65 and over", "")


@dataclass(frozen=True)
class Column:
    """type: string, integer, number or boolean; levels: every value a string may have, where they are few.

    quasi_identifier: harmless alone, but people who are few in a combination of such columns can be recognised.
    """

    name: str
    type: str
    label: str
    levels: tuple[str, ...] = ()
    quasi_identifier: bool = False


@dataclass(frozen=True)
class Table:
    """key: the columns that tell its rows apart."""

    name: str
    label: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


PERSON = Column("person", "string", "Pseudonym of the person within the study")
ARM = Column("arm", "string", "Arm: a masked letter before unblinding; empty for people never randomised")
DAY = Column("day", "integer", "Days since allocation in the person's zone; day 0 is the day of allocation")
CONSENT_DAY = Column("day_from_consent", "integer", "Days since trial consent, for people never randomised")
OCCASION = Column("occasion", "string", "Name of the planned questionnaire")
STATUSES = ("candidate", "allocated", "withdrawn", "completed")

PEOPLE = Table(
    "people",
    "One row per person who entered the trial",
    ("person",),
    (
        PERSON,
        ARM,
        Column("status", "string", "Where the person is in the trial", STATUSES),
        Column("site", "string", "Site", quasi_identifier=True),
        Column("severity_group", "string", "Baseline severity group", ("all", "low", "middle", "high", "")),
        Column("sex", "string", "Sex as given at enrolment", ("female", "male", "other", ""), quasi_identifier=True),
        Column("age_band", "string", "Age in full years at enrolment", AGE_BANDS, quasi_identifier=True),
        Column("language", "string", "Language of the app", quasi_identifier=True),
        Column("enrolment_day", "integer", "Day of enrolment, counted from allocation"),
        Column("withdrawal_day", "integer", "Day of withdrawal, counted from allocation"),
        Column("consent_to_enrolment_days", "integer", "Days from trial consent to enrolment"),
    ),
)

LONG = Table(
    "answers_long",
    "One row per person, occasion, instrument and item or scale; answers inside their window only",
    ("person", "occasion", "instrument", "kind", "name"),
    (
        PERSON,
        ARM,
        OCCASION,
        DAY,
        CONSENT_DAY,
        Column("instrument", "string", "Short name of the instrument"),
        Column("instrument_version", "string", "Version of the instrument"),
        Column("kind", "string", "Whether the row is an item or a scale", ("item", "scale")),
        Column("name", "string", "Item (q1, q2, …) or scale"),
        Column("value", "number", "Answer to the item or value of the scale; empty where missing or not scorable"),
        Column("band", "string", "Severity band of a scale"),
        Column("n_missing", "integer", "Missing items of a scale"),
        Column("prorated", "boolean", "Whether a scale was prorated"),
    ),
)

CHECK_INS = Table(
    "check_ins",
    "One row per check-in that was read: the fused estimate of the expressed emotion",
    ("person", "number"),
    (
        PERSON,
        ARM,
        Column("number", "integer", "Number of the check-in of this person, by recorded time"),
        DAY,
        CONSENT_DAY,
        Column("status", "string", "Whether anything could be read", ("done", "unusable")),
        Column("reason", "string", "Why nothing could be read"),
        *(Column(f"p_{emotion}", "number", f"Fused probability of {emotion}") for emotion in EMOTIONS),
        Column("valence", "number", "Fused valence, -1 to 1"),
        Column("arousal", "number", "Fused arousal, -1 to 1"),
        Column("confidence", "number", "Confidence of the fused estimate, 0 to 1"),
        Column("abstained", "boolean", "Whether the estimate abstained"),
        Column("disparity", "number", "Disagreement of face and voice"),
        Column("corrected_to", "string", "The person's own word for what was expressed, joined by +"),
    ),
)

ESTIMATES = Table(
    "estimates",
    "One row per check-in and modality",
    ("person", "number", "modality"),
    (
        PERSON,
        ARM,
        Column("number", "integer", "Number of the check-in of this person, as in check_ins"),
        DAY,
        CONSENT_DAY,
        Column("modality", "string", "Face, voice or text", ("face", "voice", "text")),
        *(Column(f"p_{emotion}", "number", f"Probability of {emotion}") for emotion in EMOTIONS),
        Column("valence", "number", "Valence, -1 to 1"),
        Column("arousal", "number", "Arousal, -1 to 1"),
        Column("confidence", "number", "Confidence of the estimate, 0 to 1"),
        Column("quality", "number", "Quality of the recording, 0 to 1"),
        Column("abstained", "boolean", "Whether the recogniser abstained"),
        Column("model_version", "string", "Recogniser that made the estimate"),
        Column("reason", "string", "Why nothing could be read"),
    ),
)

ENGAGEMENT = Table(
    "engagement",
    "One row per randomised person and week since allocation, weeks without anything included",
    ("person", "week"),
    (
        PERSON,
        ARM,
        Column("week", "integer", "Week since allocation; week 0 begins with the day of allocation"),
        Column("check_ins", "integer", "Check-ins recorded"),
        Column("check_ins_read", "integer", "Check-ins from which something could be read"),
        Column("questionnaires_planned", "integer", "Questionnaires planned to open"),
        Column("questionnaires_answered", "integer", "Questionnaires of those answered inside their window"),
        Column("activities_offered", "integer", "Decisions that offered an activity"),
        Column("activities_shown", "integer", "Offered activities that the phone showed, first time each"),
        Column("activities_completed", "integer", "Offered activities that were completed"),
    ),
)


def wide(versions: Sequence[InstrumentVersion]) -> Table:
    """One row per person and occasion; a block of columns per instrument version that was planned."""
    blocks = (column for version in versions for column in _block(version))
    columns = {column.name: column for column in blocks}  # versions of one instrument share their columns
    planned = Column("planned_day", "integer", "Day on which the questionnaire was planned to open, from allocation")
    answered = Column("answered", "boolean", "Whether anything was answered inside the window")
    return Table(
        "occasions_wide",
        "One row per person and planned occasion, unanswered ones included",
        ("person", "occasion"),
        (PERSON, ARM, OCCASION, planned, DAY, CONSENT_DAY, answered, *columns.values()),
    )


def tables(versions: Sequence[InstrumentVersion]) -> tuple[Table, ...]:
    return (PEOPLE, LONG, wide(versions), CHECK_INS, ESTIMATES, ENGAGEMENT)


def _block(version: InstrumentVersion) -> list[Column]:
    slug, rules = version.instrument.slug, version.rules
    span = f"{rules.minimum} to {rules.maximum}"
    items = [Column(f"{slug}_q{n}", "integer", f"{slug} item {n}, {span}") for n in range(1, rules.n_items + 1)]
    return [column for scale in rules.scales for column in _scale_columns(slug, scale)] + items


def _scale_columns(slug: str, scale: Scale) -> list[Column]:
    name = f"{slug}_{scale.slug}"
    bands = tuple(band for band, _ in scale.bands)
    return [
        Column(name, "number", f"{slug} {scale.slug}; empty where not scorable"),
        *([Column(f"{name}_band", "string", f"Severity band of {slug} {scale.slug}", (*bands, ""))] if bands else []),
        Column(f"{name}_missing", "integer", f"Missing items of {slug} {scale.slug}"),
        Column(f"{name}_prorated", "boolean", f"Whether {slug} {scale.slug} was prorated"),
    ]
