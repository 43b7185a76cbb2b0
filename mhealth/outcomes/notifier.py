"""How a person is reminded. The text names neither the study's subject nor the person: others may see the screen."""

from django.conf import settings
from django.core.mail import send_mail

from mhealth.people.models import Participant
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


def remind(participant: Participant, stage: str) -> None:
    """Send the reminder "before" or "due" by e-mail, in the person's language."""
    text = TEXTS[languages.choose([participant.language, participant.study.language], TEXTS)]
    send_mail(
        subject=text["subject"],
        message=text[stage] + "\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        recipient_list=[participant.user.email],
    )
