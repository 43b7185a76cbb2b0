import pytest

from tests.trials import factories


@pytest.fixture
def trial(study):
    """Running: personalised against fixed sequence, by site, severity and sex."""
    factories.load_dass21()
    return factories.running(study)


@pytest.fixture
def draft(study):
    factories.load_dass21()
    return factories.trial(study)
