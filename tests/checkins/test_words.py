"""A line of text in a check-in is read where it can be, and what cannot be read is said in the person's language."""

import pytest
from django.utils import translation

from mhealth.checkins import recognisers
from mhealth.checkins.reasons import ADVICE, Unreadable, advice


def test_english_words_are_read_and_other_languages_are_not_guessed():
    assert recognisers.read("text", b"Had a lovely walk with my sister today").emotion == "happiness"
    with pytest.raises(Unreadable) as refused:
        recognisers.read("text", "Heute war es schön mit meiner Schwester".encode())
    assert refused.value.code == "other_language"


def test_a_folder_without_a_text_network_says_that_there_is_no_model(settings, tmp_path):
    settings.EMOTION_CHECKPOINTS = str(tmp_path)
    recognisers._text.cache_clear()
    with pytest.raises(Unreadable, match="no_model"):
        recognisers.read("text", b"Had a lovely walk")
    recognisers._text.cache_clear()


@pytest.mark.parametrize("language", ["de", "es"])
def test_every_reason_is_a_sentence_in_the_language_of_the_person(language):
    with translation.override("en"):
        english = {code: advice(code) for code in ADVICE}
    with translation.override(language):
        untranslated = [code for code in ADVICE if advice(code) == english[code]]
    assert untranslated == []
