"""docs/security.md tells the truth about itself: its tests exist, and its table of ASVS is whole."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()

# Levels of OWASP ASVS 5.0.0: one digit for each requirement of a section, in the order of their numbers.
LEVELS = """
1.1 22  1.2 1111122223  1.3 112222222223  1.4 222  1.5 123  2.1 122  2.2 112  2.3 12223  2.4 23
3.1 3  3.2 113  3.3 12223  3.4 11222233  3.5 11122333  3.6 3  3.7 22333  4.1 12233  4.2 23333  4.3 22  4.4 1222
5.1 2  5.2 112333  5.3 113  5.4 222  6.1 122  6.2 111111112222  6.3 11223333  6.4 112233  6.5 22222333  6.6 2223
6.7 33  6.8 2222  7.1 222  7.2 1111  7.3 22  7.4 11222  7.5 223  7.6 22  8.1 1233  8.2 1123  8.3 133  8.4 23
9.1 111  9.2 1222  10.1 22  10.2 223  10.3 22223  10.4 1111122222233333  10.5 22222  10.6 22  10.7 222
11.1 2233  11.2 22233  11.3 11233  11.4 1222  11.5 23  11.6 23  11.7 33  12.1 12233  12.2 11  12.3 22223
13.1 2333  13.2 222223  13.3 2233  13.4 1222233  14.1 22  14.2 12223333  14.3 122  15.1 12233  15.2 12233
15.3 1222222  15.4 3333  16.1 2  16.2 22222  16.3 2222  16.4 222  16.5 2223  17.1 23  17.2 22223333  17.3 22
"""
STATES = {"met", "partly", "gap", "operator", "none"}


def requirements(levels: str) -> set[str]:
    sections = re.findall(r"(\d+\.\d+) (\d+)", LEVELS)
    return {f"{section}.{n}" for section, digits in sections for n, digit in enumerate(digits, 1) if digit in levels}


def table() -> list[tuple[list[str], str, str]]:
    """(numbers, state, words) of each line."""
    rows = re.findall(r"^\| (\d[\d., –]*) \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    return [
        ([n for part in numbers.split(", ") for n in expanded(part)], state, words) for numbers, state, words in rows
    ]


def expanded(part: str) -> list[str]:
    """1.2.3–1.2.5 is 1.2.3, 1.2.4 and 1.2.5."""
    first, _, last = part.partition("–")
    section, start = first.rsplit(".", 1)
    assert not last or last.startswith(f"{section}."), part
    return [f"{section}.{n}" for n in range(int(start), int((last or first).rsplit(".", 1)[1]) + 1)]


def test_the_levels_are_those_of_the_published_list():
    """345 requirements: 70 of the first level, 183 of the second, 92 of the third."""
    assert [len(requirements(level)) for level in "123"] == [70, 183, 92]


def test_each_requirement_of_levels_one_and_two_has_one_line():
    told = Counter(number for numbers, _, _ in table() for number in numbers)
    assert set(told) == requirements("12")
    assert [number for number, times in told.items() if times > 1] == []


def test_each_line_has_a_state_and_says_why():
    assert {state for _, state, _ in table()} == STATES
    assert [numbers for numbers, _, words in table() if len(words) < 10] == []


def test_every_test_that_the_page_names_exists():
    named = set(re.findall(r"`((?:[\w/.-]+/)?test_\w+\.py)`", PAGE))
    assert len(named) > 20
    bare = {name for name in named if "/" not in name}  # beside one that was named with its folder
    assert sorted(name for name in named - bare if not (ROOT / name).is_file()) == []
    assert sorted(name for name in bare if not list((ROOT / "tests").rglob(name))) == []


def test_every_other_file_that_the_page_names_exists():
    named = set(re.findall(r"`((?:docs|mhealth|tests|emotion)/[\w/.-]+)`", PAGE))
    assert sorted(name for name in named if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}*"))) == []


def test_cookies_belong_to_this_host_alone_where_https_is_on():
    asked = "from mhealth import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
    names = {}
    for https in ("0", "1"):
        environment = os.environ | {"HTTPS": https, "ENV_FILE": os.devnull}
        ran = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, env=environment, capture_output=True, text=True)
        names[https] = ran.stdout.split()
    assert names == {"0": ["sessionid", "csrftoken"], "1": ["__Host-sessionid", "__Host-csrftoken"]}
