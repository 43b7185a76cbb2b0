"""How pages write dates and times: always with the zone, always in 24 hours."""
