"""Let a language model of one's own say the sentences more smoothly, and believe none of its figures.

The model sits behind an OpenAI-compatible address that the operator configures (Llama 3.1 8B on the same
machine, say). It receives the template sentences and nothing else: no name, no identifier, no recording. A
sentence of its answer stays only if every number and every emotion in it stands in the sentences it was given.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Sequence

from emotion.disparity.report import CAUTION
from emotion.estimate import EMOTIONS

TIMEOUT_S = 30.0
INSTRUCTION = (
    "Rewrite these sentences for a therapist in plain language, one sentence per line. "
    "Use only the figures given. Do not interpret, diagnose or advise."
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WRITTEN = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety|hundred|thousand|half|third|quarter|twice|double|percent)\b|%",
    re.IGNORECASE,
)


class NoAnswer(Exception):
    """The address gave nothing that can be used; the template sentences stand."""


def rewrite(sentences: Sequence[str], address: str, *, model: str, timeout_s: float = TIMEOUT_S) -> list[str]:
    """The model's sentences whose figures are all in `sentences`, ending with the caution. Raises NoAnswer.

    address: up to and without `/chat/completions`, for example http://127.0.0.1:8080/v1.
    """
    given = [s for s in sentences if s != CAUTION]
    kept = [s for s in _lines(_ask(given, address, model, timeout_s)) if is_covered(s, given)]
    if not kept:
        raise NoAnswer("no sentence of the answer keeps to the figures")
    return [*kept, CAUTION]


def is_covered(sentence: str, given: Sequence[str]) -> bool:
    """Whether every figure, percentage and emotion of a sentence stands in what was given."""
    source = " ".join(given)
    if WRITTEN.search(sentence):  # a figure in words cannot be checked
        return False
    figures_known = set(NUMBER.findall(sentence)) <= set(NUMBER.findall(source))
    return figures_known and all(e in source for e in EMOTIONS if e in sentence.lower())


def _lines(text: str) -> list[str]:
    return [line.strip(" -*•\t") for line in text.splitlines() if line.strip(" -*•\t")]


def _ask(sentences: Sequence[str], address: str, model: str, timeout_s: float) -> str:
    if not address.startswith(("http://", "https://")):
        raise NoAnswer("the address must begin with http:// or https://")
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": "\n".join(sentences)}]
    body = json.dumps({"model": model, "messages": messages, "temperature": 0}).encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        f"{address.rstrip('/')}/chat/completions", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return str(json.load(answer)["choices"][0]["message"]["content"])
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise NoAnswer(f"the language model did not answer ({type(problem).__name__})") from problem
