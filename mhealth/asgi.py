"""The web process behind an ASGI server; always with a broker, never with the embedded thread."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mhealth.settings")
application = get_asgi_application()
