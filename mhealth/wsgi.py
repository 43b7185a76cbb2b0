"""The web process. Without a broker it also runs the work, in one background thread."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mhealth.settings")
application = get_wsgi_application()

from mhealth.platform import embedded  # noqa: E402  (needs the apps to be loaded)

embedded.start_if_no_broker()
