"""Effects of single suggestions within the personalised arm (micro-randomised, WCLS)."""

from mhealth.research.cohort import Cohort
from mhealth.research.report.tables import Section

TITLE = "Effects of single suggestions (micro-randomised)"


def section(cohort: Cohort, dry_run: bool) -> Section:
    return Section(TITLE, [f"Not identified: {_why_not(cohort, dry_run)}."])


def _why_not(cohort: Cohort, dry_run: bool) -> str:
    if dry_run:
        return "whether anything was sent, and with which probability, is not read before unblinding"
    return "no proximal outcome of a single suggestion is registered with this trial's policy"
