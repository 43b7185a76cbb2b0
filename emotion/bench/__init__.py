"""Benchmarks of this package against its peers: lists of cells, resumable."""
