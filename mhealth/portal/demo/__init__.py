"""The main job, played through the real HTTP API: a phone, a clinician's server and a researcher."""
