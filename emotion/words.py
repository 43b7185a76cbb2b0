"""Text as the text network sees it: words, each a bag of hashed n-grams, so that no vocabulary has to be stored.

A word stands for itself, for the two and three words that begin with it, and for the letters inside it; letters
let the network read words it never saw (misspelt, inflected). The idea is fastText's: Bojanowski et al., TACL 2017.
"""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np

BUCKETS = 1 << 16  # rows of the embedding table that all n-grams share
KNOWN_BITS = 1 << 19  # of the set of words seen in training
LONGEST = 64  # words; a check-in's line of text is shorter
LETTERS = (3, 4, 5)
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[^\s\w]")


def words(text: str) -> list[str]:
    """The first 64 words, numbers and marks, in lower case."""
    return WORD.findall(text.lower().replace("’", "'"))[:LONGEST]


def ngrams(text: str) -> list[list[int]]:
    """For each word the buckets of its n-grams, the word's own first."""
    found = words(text)
    return [_around(found, place) + _letters(word) for place, word in enumerate(found)]


def _around(found: list[str], place: int) -> list[int]:
    return [_bucket(str(n), " ".join(found[place : place + n])) for n in (1, 2, 3) if place + n <= len(found)]


def _letters(word: str) -> list[int]:
    if len(word) < 3:
        return []
    marked = f"<{word}>"
    return [_bucket("c", marked[start : start + n]) for n in LETTERS for start in range(len(marked) - n + 1)]


def _bucket(kind: str, gram: str) -> int:
    return crc32(f"{kind}{gram}".encode()) % BUCKETS


def as_set(seen: set[str]) -> np.ndarray:
    """A set of words as (2**16,) bytes: a word that was seen is always found, one in twenty others, too."""
    bits = np.zeros(KNOWN_BITS, bool)
    bits[[crc32(word.encode()) % KNOWN_BITS for word in seen]] = True
    return np.packbits(bits)


def known_share(text: str, seen: np.ndarray) -> float:
    """How much of the text's words (not numbers or marks) stand in the set; 0 where it has none."""
    found = [word for word in words(text) if word[0].isalpha()]
    places = [crc32(word.encode()) % KNOWN_BITS for word in found]
    return float(np.mean([bool(seen[p >> 3] & (128 >> (p & 7))) for p in places])) if found else 0.0
