import pytest

from tests.interventions import factories


@pytest.fixture
def shelf(carol, eve, finn):
    """Four published activities by key, in English, in clinicians' order."""
    return factories.shelf(carol, [eve, finn])
