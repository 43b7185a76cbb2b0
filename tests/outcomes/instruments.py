"""Definitions of the tests: DASS-21 to the letter of its manual, SUS, and single items, written out again here."""

BANDS = {
    "depression": {"normal": 0, "mild": 10, "moderate": 14, "severe": 21, "extremely severe": 28},
    "anxiety": {"normal": 0, "mild": 8, "moderate": 10, "severe": 15, "extremely severe": 20},
    "stress": {"normal": 0, "mild": 15, "moderate": 19, "severe": 26, "extremely severe": 34},
}
ITEMS = {
    "depression": [3, 5, 10, 13, 16, 17, 21],
    "anxiety": [2, 4, 7, 9, 15, 19, 20],
    "stress": [1, 6, 8, 11, 12, 14, 18],
}
# Henry & Crawford (2005): SDs of the raw scores 3.87, 2.95, 4.20, doubled here; Cronbach's alpha.
NORMS = {"depression": (7.74, 0.88), "anxiety": (5.90, 0.82), "stress": (8.40, 0.90)}


def dass21() -> dict:
    return {
        "slug": "dass21",
        "version": "1",
        "name": "DASS-21",
        "rule_version": "dass21/test",
        "n_items": 21,
        "minimum": 0,
        "maximum": 3,
        "min_days_between": 7,
        "licence": "Free of charge, unmodified, not sold, for a professional audience.",
        "scales": {
            scale: {
                "items": ITEMS[scale],
                "multiplier": 2,
                "max_missing": 1,
                "bands": BANDS[scale],
                "norm": {"sd": NORMS[scale][0], "reliability": NORMS[scale][1], "source": "Henry & Crawford (2005)"},
            }
            for scale in ITEMS
        },
    }


def sus() -> dict:
    return {
        "slug": "sus",
        "version": "1",
        "name": "System Usability Scale",
        "rule_version": "sus/test",
        "n_items": 10,
        "minimum": 1,
        "maximum": 5,
        "scales": {
            "usability": {
                "items": list(range(1, 11)),
                "reversed": [2, 4, 6, 8, 10],
                "from_zero": True,
                "multiplier": 2.5,
                "higher_is_worse": False,
            }
        },
    }


def single(slug: str, minimum: int, maximum: int) -> dict:
    return {
        "slug": slug,
        "version": "1",
        "name": slug,
        "rule_version": f"{slug}/test",
        "n_items": 1,
        "minimum": minimum,
        "maximum": maximum,
        "scales": {slug: {"items": [1], "higher_is_worse": slug == "stress10"}},
    }


def text(language: str, n_items: int, options: int, validated: bool = True) -> dict:
    return {
        "title": f"Questions ({language})",
        "instructions": "Please read each statement.",
        "items": [{"number": n, "text": f"Statement {n} ({language})", "checked": True} for n in range(1, n_items + 1)],
        "options": [{"value": n, "label": f"option {n}"} for n in range(options)],
        "source": "made for a test",
        "licence": "public domain",
        "translator": None if language == "en" else "A. Translator",
        "status": "original" if validated else "unvalidated",
        "validation_reference": "Validated by a test" if validated else None,
    }


ALL = [
    (dass21(), {"en": text("en", 21, 4), "de": text("de", 21, 4, validated=False)}),
    (sus(), {"en": text("en", 10, 5)}),
    (single("trust", 1, 5), {"en": text("en", 1, 5)}),
    (single("stress10", 1, 10), {"en": text("en", 1, 10)}),
]


def answers(**given: int | None) -> list[int | None]:
    """21 zeros but for the items named: answers(q21=3)."""
    row: list[int | None] = [0] * 21
    for name, value in given.items():
        row[int(name.removeprefix("q")) - 1] = value
    return row
