"""The product's own settings, under an environment made for tests: nothing of var/env is read."""

import os
import tempfile

os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("SECRET_KEY", "a key for tests only, never used elsewhere: 0123456789")
os.environ.setdefault("MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
os.environ.setdefault("HTTPS", "0")

from mhealth.settings import *  # noqa: F403, E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = dict.fromkeys(REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])  # noqa: F405

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in the product: several threads cannot wait for each other's locks on a database in memory.
    DATABASES["default"]["TEST"] = {"NAME": f"{tempfile.gettempdir()}/mhealth-test-{os.getpid()}.sqlite3"}  # noqa: F405
