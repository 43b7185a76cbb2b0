from interventions.admin import care, content, decision, words  # noqa: F401 (registers)
