"""The report of a trial: what its export holds, analysed, as a page that prints and numbers as CSV."""


class NothingToReport(Exception):
    """There is nothing that a report could be made of. Says why, of the trial and of no person."""
