"""Expressed emotion from a face, a voice and a line of text: recognisers and their fusion. No Django."""
