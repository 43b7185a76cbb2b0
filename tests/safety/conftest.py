import pytest

from mhealth.safety import services


@pytest.fixture
def raised():
    """`raised(ada)` opens a severe event; any field can be given."""

    def make(person, **fields):
        defaults = {"source": "dass21", "severity": "severe", "rule": "dass21.item_21", "evidence": {"item_21": 3}}
        return services.raise_event(participant=person, **(defaults | fields))

    return make
