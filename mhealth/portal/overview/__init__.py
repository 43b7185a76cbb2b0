"""How a trial is going, for its researchers and managers: counts, curves, data quality, exports; never by arm while
that could tell anything."""
