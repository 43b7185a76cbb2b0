from interventions.admin import care, content, decision  # noqa: F401 (registers)
