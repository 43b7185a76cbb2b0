"""Reason codes of the recognisers, as sentences a person can act on."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ADVICE = {
    "no_face": gettext_lazy("No face was found. Hold the phone at arm's length and look into the camera."),
    "several_faces": gettext_lazy("More than one face was found. Please be alone in the picture."),
    "too_dark": gettext_lazy("The picture is too dark. Turn towards a window or a lamp."),
    "blurred": gettext_lazy("The picture is blurred. Hold the phone still for a moment."),
    "too_small": gettext_lazy("The face is too small in the picture. Hold the phone closer."),
    "silent": gettext_lazy("Nothing could be heard. Check that the microphone is not covered."),
    "too_short": gettext_lazy("There was too little speech. Speak for three seconds or more."),
    "clipped": gettext_lazy("The recording is distorted. Hold the phone a little further away."),
    "too_noisy": gettext_lazy("There is too much noise around you. Try a quieter place."),
    "not_a_face": gettext_lazy("This does not look like a face from the front. Look straight into the camera."),
    "not_speech": gettext_lazy("This does not sound like one person speaking. Switch off music and speak by yourself."),
    "too_few_words": gettext_lazy("There were too few words. Write a whole sentence."),
    "other_language": gettext_lazy("The words are not known here. Text is read in English only."),
    "no_picture": gettext_lazy("There is no picture in the video. Please record it again."),
    "too_long": gettext_lazy("The video is longer than a minute. Please record a shorter one."),
    "too_large": gettext_lazy("The video is too large. Please record it with a lower resolution."),
    "no_video_decoder": gettext_lazy("This server cannot read videos at present. Send a photo and a recording."),
    "broken_file": gettext_lazy("The file could not be read. Please record it again."),
    "consent_withdrawn": gettext_lazy("You have withdrawn your consent for this, so it was deleted unread."),
    "participation_stopped": gettext_lazy("You have stopped taking part, so it was not read."),
    "no_model": gettext_lazy("This server has no model for it at present."),
    "no_usable_part": gettext_lazy("Nothing in this check-in could be read. You can send another one."),
    "out_of_time": gettext_lazy("This took too long, so it was given up."),
    "media_gone": gettext_lazy("The recording is no longer held, so it could not be read."),
}


class Unreadable(Exception):
    """A part cannot be read; `code` is a key of ADVICE."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def advice(code: str) -> str:
    """The sentence for a code in the language of the request; empty for an empty code."""
    if not code:
        return ""
    return str(ADVICE.get(code) or _("This could not be read."))
