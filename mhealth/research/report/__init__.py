"""The report of a trial: what its export holds, analysed, as a page that prints and numbers as CSV."""
