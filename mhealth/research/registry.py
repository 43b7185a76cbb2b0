"""The one registry of an export: every file, its types, labels and codebook come from these tables."""

from collections.abc import Sequence

from mhealth.outcomes.models import InstrumentVersion
from mhealth.outcomes.scoring import Scale
from mhealth.research.columns import (
    ARM,
    CHECK_INS,
    CONSENT_DAY,
    DAY,
    ENGAGEMENT,
    ESTIMATES,
    LONG,
    OCCASION,
    PEOPLE,
    PERSON,
    Column,
    Table,
)
from mhealth.research.restricted import CANDIDATES, DECISIONS, IDENTITIES, RELIABILITY, WEIGHTS

CHANGES = ("improved", "unchanged", "deteriorated")


def tables(
    versions: Sequence[InstrumentVersion], *, unblinded: bool = False, identifiable: bool = False
) -> tuple[Table, ...]:
    """Every table of a package, in the order of its documents."""
    return (
        *(PEOPLE, LONG, wide(versions), CHECK_INS, ESTIMATES, ENGAGEMENT),
        *((DECISIONS, CANDIDATES, WEIGHTS, RELIABILITY) if unblinded else ()),
        *((IDENTITIES,) if identifiable else ()),
    )


def wide(versions: Sequence[InstrumentVersion]) -> Table:
    """One row per person and occasion; a block of columns per instrument version that was planned."""
    blocks = (column for version in versions for column in _block(version))
    unique = {column.name: column for column in blocks}  # versions of one instrument share their columns
    planned = Column("planned_day", "integer", "Day on which the questionnaire was planned to open, from allocation")
    answered = Column("answered", "boolean", "Whether anything was answered inside the window")
    return Table(
        "occasions_wide",
        "One row per person and planned occasion, unanswered ones included",
        ("person", "occasion"),
        (PERSON, ARM, OCCASION, planned, DAY, CONSENT_DAY, answered, *unique.values()),
    )


def _block(version: InstrumentVersion) -> list[Column]:
    slug, rules = version.instrument.slug, version.rules
    told = "empty where it was not planned for this occasion"
    answered = Column(f"{slug}_answered", "boolean", f"Whether {slug} was answered inside its window; {told}")
    text = version.texts.get("en") or next(iter(version.texts.values()), {})
    wordings = {item["number"]: item["text"] for item in text.get("items", [])}
    codes = tuple((option["value"], option["label"]) for option in text.get("options", []))
    span = {"minimum": rules.minimum, "maximum": rules.maximum, "asked_by": slug, "missing": "item"}
    items = [
        Column(
            f"{slug}_q{n}",
            "integer",
            f"{slug} {n}. {wordings.get(n, 'item')}",
            codes=codes,
            wording=_doubts(version, n),
            **span,
        )
        for n in range(1, rules.n_items + 1)
    ]
    return [answered, *(column for scale in rules.scales for column in _scale_columns(slug, scale)), *items]


def _doubts(version: InstrumentVersion, number: int) -> str:
    """Languages whose translation is not validated, and those in which this item was not compared with the form."""
    unchecked = [code for code in sorted(version.texts) if number in version.unchecked_items(code)]
    doubts = {"translation not validated": version.not_validated, "wording not checked": unchecked}
    return "; ".join(f"{doubt}: {', '.join(codes)}" for doubt, codes in doubts.items() if codes)


def _scale_columns(slug: str, scale: Scale) -> list[Column]:
    name, spoken = f"{slug}_{scale.slug}", f"{slug} {scale.slug}"
    asked = {"asked_by": slug, "missing": "score"}
    bands = tuple(band for band, _ in scale.bands)
    change = "by reliable change since baseline (Jacobson & Truax)"
    return [
        Column(name, "number", f"{spoken}; empty where not scorable", **asked),
        *([Column(f"{name}_band", "string", f"Severity band of {spoken}", bands, **asked)] if bands else []),
        Column(f"{name}_missing", "integer", f"Missing items of {spoken}", minimum=0, asked_by=slug),
        Column(f"{name}_prorated", "boolean", f"Whether {spoken} was prorated", asked_by=slug),
        *([Column(f"{name}_rci", "number", f"Reliable change index of {spoken}", asked_by=slug)] if scale.norm else []),
        *([Column(f"{name}_change", "string", f"{spoken} {change}", CHANGES, asked_by=slug)] if scale.norm else []),
    ]
