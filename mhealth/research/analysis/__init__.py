"""The statistics of a trial: pure functions on data frames; no Django, no database.

Rows are people or people × occasions; `arm` holds a label, and effects are "arm minus reference".
"""
