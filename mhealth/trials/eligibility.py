"""Who may take part, as data: each rule names a fact about the person and what it must be.

    {"fact": "age", "at_least": 18, "at_most": 65}     {"fact": "language", "one_of": ["en", "de"]}
    {"fact": "depression", "at_least": 10}             {"fact": "severe_risk_open", "is": false}

Facts: age (full years for certain: only the birth year is known), sex, language, site, country,
depression, anxiety, stress (doubled DASS-21 scores of the baseline), severe_risk_open.
"""

from collections.abc import Iterable, Mapping

FACTS = ("age", "sex", "language", "site", "country", "depression", "anxiety", "stress", "severe_risk_open")
NUMBERS = ("age", "depression", "anxiety", "stress")
CHECKS = {
    "at_least": (lambda value, limit: value >= limit, "must be at least {}"),
    "at_most": (lambda value, limit: value <= limit, "must be at most {}"),
    "one_of": (lambda value, allowed: value in allowed, "must be one of {}"),
    "is": (lambda value, wanted: value == wanted, "must be {}"),
}


def unmet(rules: Iterable[Mapping], facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """(fact, sentence) about the rules that do not hold. A fact that is None is not known, and never holds;
    a fact that is absent is not asked for yet."""
    return [
        (rule["fact"], f"{rule['fact'].replace('_', ' ')} {sentence.format(_words(wanted))}")
        for rule in rules
        if rule["fact"] in facts
        for check, wanted in rule.items()
        if check != "fact"
        for holds, sentence in [CHECKS[check]]
        if facts[rule["fact"]] is None or not holds(facts[rule["fact"]], wanted)
    ]


def in_words(rules: Iterable[Mapping]) -> list[str]:
    """One sentence per limit, as refusals say it."""
    unknown = dict.fromkeys(FACTS)
    return [sentence.capitalize() for _, sentence in unmet(rules, unknown)]


def faults(rules: object) -> list[str]:
    """What is wrong with the rules themselves."""
    if not isinstance(rules, list):
        return ["The rules must be a list."]
    return [fault for number, rule in enumerate(rules, 1) for fault in _faults_of(number, rule)]


def _faults_of(number: int, rule: object) -> list[str]:
    if not isinstance(rule, dict) or rule.get("fact") not in FACTS:
        return [f'Rule {number} must name a "fact", one of: {", ".join(FACTS)}.']
    checks = rule.keys() - {"fact"}
    if not checks or checks - CHECKS.keys():
        return [f"Rule {number} needs one or more of: {', '.join(CHECKS)}."]
    limits = [rule[check] for check in checks & {"at_least", "at_most"}]
    if limits and (rule["fact"] not in NUMBERS or not all(isinstance(limit, int | float) for limit in limits)):
        return [f"Rule {number} compares with something that is not a number."]
    if not isinstance(rule.get("one_of", []), list):
        return [f'Rule {number}: "one_of" must be a list.']
    return []


def _words(wanted: object) -> str:
    if isinstance(wanted, list):
        return ", ".join(map(str, wanted))
    return {True: "yes", False: "no"}.get(wanted, str(wanted)) if isinstance(wanted, bool) else str(wanted)
