from drf_standardized_errors.openapi import AutoSchema


class ProblemSchema(AutoSchema):
    """Our schema of every operation: the answers it names, and problems for the rest."""
