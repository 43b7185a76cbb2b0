"""Loaders of the data sets that the networks are trained and judged on. None is part of the package."""
