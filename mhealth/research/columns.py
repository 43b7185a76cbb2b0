"""The columns of an export: what each is called, holds and means. `registry.tables` puts them together."""

from dataclasses import dataclass

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
AGE_BANDS = ("under 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65 and over")


@dataclass(frozen=True)
class Column:
    """type: string, integer, number or boolean; levels: every value a string may have, where they are few.

    quasi_identifier: harmless alone, but people who are few in a combination of such columns can be recognised.
    identifies: tells who a person is; leaves only after a second person agreed.
    minimum, maximum: of a number.   codes: what its values stand for.
    asked_by, missing: the questionnaire a value comes from, and what it means where the questionnaire was answered
    and the value is empty ("item" or "score"; "" where nothing can be said).
    wording: what is not sure of the words that people answered to.
    """

    name: str
    type: str
    label: str
    levels: tuple[str, ...] = ()
    quasi_identifier: bool = False
    identifies: bool = False
    minimum: float | None = None
    maximum: float | None = None
    codes: tuple[tuple[int, str], ...] = ()
    asked_by: str = ""
    missing: str = ""
    wording: str = ""


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

    @property
    def identifies(self) -> bool:
        return any(column.identifies for column in self.columns)


def share(name: str, label: str) -> Column:
    return Column(name, "number", label, minimum=0, maximum=1)


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
        Column("severity_group", "string", "Baseline severity group", ("all", "low", "middle", "high")),
        Column("sex", "string", "Sex as given at enrolment", ("female", "male", "other"), quasi_identifier=True),
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
        Column("instrument_version", "string", "The instrument and its version"),
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
        *(share(f"p_{emotion}", f"Fused probability of {emotion}") for emotion in EMOTIONS),
        Column("valence", "number", "Fused valence, -1 to 1", minimum=-1, maximum=1),
        Column("arousal", "number", "Fused arousal, -1 to 1", minimum=-1, maximum=1),
        share("confidence", "Confidence of the fused estimate, 0 to 1"),
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
        *(share(f"p_{emotion}", f"Probability of {emotion}") for emotion in EMOTIONS),
        Column("valence", "number", "Valence, -1 to 1", minimum=-1, maximum=1),
        Column("arousal", "number", "Arousal, -1 to 1", minimum=-1, maximum=1),
        share("confidence", "Confidence of the estimate, 0 to 1"),
        share("quality", "Quality of the recording, 0 to 1"),
        Column("abstained", "boolean", "Whether the recogniser abstained"),
        Column("model_version", "string", "Recogniser that made the estimate"),
        Column("reason", "string", "Why nothing could be read"),
    ),
)

ENGAGEMENT = Table(
    "engagement",
    "One row per randomised person and week from enrolment to the end of participation, empty weeks included",
    ("person", "week"),
    (
        PERSON,
        ARM,
        Column("week", "integer", "Week from allocation: week 0 begins with that day, earlier ones are negative"),
        Column("days", "integer", "Days of this week on which the person took part", minimum=1, maximum=7),
        Column("check_ins", "integer", "Check-ins recorded"),
        Column("check_ins_read", "integer", "Check-ins from which something could be read"),
        Column("questionnaires_planned", "integer", "Questionnaires planned to open"),
        Column("questionnaires_answered", "integer", "Questionnaires of those answered inside their window"),
        Column("activities_offered", "integer", "Decisions that offered an activity"),
        Column("activities_shown", "integer", "Offered activities that the phone showed, first time each"),
        Column("activities_completed", "integer", "Offered activities that were completed"),
    ),
)
