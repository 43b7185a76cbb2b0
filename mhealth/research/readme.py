"""What a researcher reads first, and the facts of the manifest."""

from importlib.metadata import version

from interventions.models import ContentFreeze
from mhealth.research import statistical
from mhealth.research.cohort import SMALL_CELL, Cohort
from mhealth.research.columns import Table

README = """{title}
{underline}
{what}

What is here
{tables}
codebook.csv names every column of every table: its type, what it means, the values it may have, and of an item
in which languages its translation is not validated or its wording was not compared with the published form.
manifest.json has the SHA-256 of every file and the versions of everything that made the data.
{formats}

How to read it
- person is a pseudonym of this study. Arms: {arms}.
- Day 0 is the day of allocation in the person's own zone; earlier days are negative. People who were never
  randomised count from their trial consent, in day_from_consent. There are no calendar dates.
- A questionnaire counts if it was answered inside its window. {n_left_out} other answers are kept and not in here.
- A scale with too many unanswered items has no score. One with few is prorated, and says so. Doubled DASS-21 scores.
- *_rci and *_change compare with the baseline answers by the reliable change index of Jacobson & Truax.
- Estimates say what face and voice express, not what a person feels.
- Weeks of the engagement table end with participation; `days` says how much of a week it was.
{small_cells}

Data cut-off: {cut_off}. The same database gives the same bytes.
"""
FORMATS = {
    "csv": "- *.csv: UTF-8, comma, point, empty where missing; true and false. datapackage.json describes them.",
    "parquet": "- *.parquet: the same tables with their types and labels.",
    "spss": "- occasions_wide.sav: SPSS, wide, with labels. User-missing: {missing}.",
    "stata": "- occasions_wide.dta: Stata 14 or later, wide, with labels. Missing: {letters}.",
    "redcap": "- redcap_dictionary.csv and redcap_import.csv: make a project from the first, enable occasions_wide\n"
    "  as a repeating instrument, then import the second.",
    "fhir": "- *.ndjson: FHIR R4, one resource a line. Days and arms stand in extensions; codes of our own are in\n"
    "  CodeSystem.ndjson. Answers to a translation that is not validated say so in an extension.\n"
    "  SNOMED CT codes of the three DASS-21 scores were not checked against a release.",
}
TOO_LONG = "- No .sav and .dta: the wide table has more than {most:,} rows."


def readme(cohort: Cohort, tables: dict[str, Table], rows: dict[str, int], formats: list[str], n_small: int) -> str:
    trial = cohort.trial
    identified = any(table.identifies for table in tables.values())
    kind = "Identifiable" if identified else "De-identified"
    warning = f"- Warning: {n_small} people are in cells (site, sex, age band, language) of fewer than {SMALL_CELL}."
    return README.format(
        title=trial.title,
        underline="=" * len(trial.title),
        what=f"{kind} data of a randomised trial{_part(cohort)}: {len(cohort)} people.",
        tables="\n".join(f"- {name} ({rows[name]:,} rows): {table.label}." for name, table in tables.items()),
        formats="\n".join(_formats(rows["occasions_wide"], formats)),
        arms="masked letters until the trial is unblinded" if trial.masked else "by name",
        n_left_out=cohort.n_left_out(),
        small_cells=warning if n_small else "- Nobody is in a small cell.",
        cut_off=f"{cohort.cut_off:%Y-%m-%d %H:%M:%S} UTC",
    )


def _part(cohort: Cohort) -> str:
    return f", sites {', '.join(cohort.sites)} only" if cohort.sites else ""


def _formats(n_wide: int, formats: list[str]) -> list[str]:
    codes = "; ".join(f"{code} {words.lower()}" for code, _, words in statistical.MISSING.values())
    letters = "; ".join(f".{letter} {words.lower()}" for _, letter, words in statistical.MISSING.values())
    too_long = n_wide > statistical.MAX_ROWS
    shown = [name for name in formats if not (too_long and name in ("spss", "stata"))]
    lines = [FORMATS[name].format(missing=codes, letters=letters) for name in shown]
    return lines + ([TOO_LONG.format(most=statistical.MAX_ROWS)] if len(shown) < len(formats) else [])


def facts(cohort: Cohort) -> dict:
    """Of the manifest: what made the data. Nothing of a policy or its model before unblinding."""
    trial = cohort.trial
    return {
        "trial": trial.slug,
        "study": trial.study.slug,
        "cut_off": cohort.cut_off.isoformat(),
        "generated_at": cohort.cut_off.isoformat(),
        "arms": "masked" if trial.masked else "named",
        "filters": {"sites": list(cohort.sites)},
        "people": cohort.flow(),
        "assessed": cohort.assessed(),
        "responses_left_out": cohort.n_left_out(),
        "versions": {
            "tool": version("mhealth-backend"),
            "content": _content(cohort),
            "instruments": {f"{v.instrument.slug} {v.version}": v.rules.rule_version for v in cohort.versions},
            "recognisers": cohort.recognisers(),
            "allocation": trial.recipe,
        },
    }


def _content(cohort: Cohort) -> dict | None:
    """The texts that the trial holds still; the model as well once nobody is masked."""
    freeze = ContentFreeze.objects.filter(trial=cohort.trial).select_related("model").first()
    if freeze is None:
        return None
    versions = freeze.versions.select_related("activity").order_by("activity__key", "language", "number")
    frozen = {str(version): version.digest for version in versions}
    told = {} if cohort.trial.masked else {"model": freeze.model and freeze.model.name}
    return {"texts": frozen, **told}
