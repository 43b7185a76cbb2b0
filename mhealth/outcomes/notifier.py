"""How a person is reminded. The text names neither the study's subject nor the person: others may see the screen."""

from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from mhealth.outcomes import push
from mhealth.people.models import Device, Participant
from mhealth.platform import languages

TEXTS = {
    "en": {
        "subject": "A reminder from your app",
        "before": "Something is waiting for you in the app. Please look at it soon.",
        "due": "Something is waiting for you in the app. Today is a good day for it.",
    },
    "de": {
        "subject": "Eine Erinnerung Ihrer App",
        "before": "In der App wartet etwas auf Sie. Bitte schauen Sie bald hinein.",
        "due": "In der App wartet etwas auf Sie. Heute ist ein guter Tag dafür.",
    },
    "es": {
        "subject": "Un recordatorio de su aplicación",
        "before": "Hay algo pendiente en la aplicación. Por favor, ábrala pronto.",
        "due": "Hay algo pendiente en la aplicación. Hoy es un buen día para hacerlo.",
    },
}


def reachable(participant: Participant) -> bool:
    return participant.user.has_mail or _devices(participant).exists()


def remind(participant: Participant, stage: str) -> None:
    """Send the reminder "before" or "due", in the person's language: to their phones, or where none got it by mail.

    Raises OSError when no way works at the moment.
    """
    text = TEXTS[languages.choose([participant.language, participant.study.language], TEXTS)]
    if not _push(participant, text["subject"], text[stage]) and participant.user.has_mail:
        send_mail(
            subject=text["subject"],
            message=text[stage] + "\n",
            from_email=settings.DEFAULT_FROM_EMAIL,
            recipient_list=[participant.user.email],
        )


def _devices(participant: Participant):
    if not push.configured():
        return Device.objects.none()
    return Device.objects.filter(user=participant.user, expiry__gt=timezone.now()).exclude(push_token="")


def _push(participant: Participant, title: str, body: str) -> bool:
    """Whether a phone got it; a token that is dead is forgotten. Raises OSError if none did and there is no mail."""
    reached, away = False, None
    for device in _devices(participant):
        try:
            push.send(token=device.push_token, title=title, body=body)
            reached = True
        except push.DeadToken:
            Device.objects.filter(pk=device.pk, push_token=device.push_token).update(push_token="")
        except OSError as later:
            away = later
    if away and not reached and not participant.user.has_mail:
        raise away
    return reached
