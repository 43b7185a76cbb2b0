"""Trials whose truth is known: the same people through the real services, and straight into the analysis."""
