import json

import pytest

from mhealth.outcomes import services
from tests.outcomes import instruments


@pytest.fixture(scope="session")
def instruments_folder(tmp_path_factory):
    """A folder as in fixtures/instruments, made from the test's own definitions."""
    folder = tmp_path_factory.mktemp("instruments")
    for definition, texts in instruments.ALL:
        home = folder / definition["slug"] / definition["version"]
        home.mkdir(parents=True)
        (home / "instrument.json").write_text(json.dumps(definition), encoding="utf-8")
        for language, text in texts.items():
            (home / f"{language}.json").write_text(json.dumps(text), encoding="utf-8")
    return folder


@pytest.fixture
def loaded(db, instruments_folder):
    return services.load_instruments(instruments_folder)
