"""Every setting, read once from the environment. docs/operations.md lists the variables.

Without any variable but the two secrets (which `make install` writes to var/env) this is the
embedded deployment: SQLite, encrypted media in a folder, no broker.
"""

import base64
import binascii
import sys
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(env.path("ENV_FILE", default=str(BASE_DIR / "var" / "env"))())


def required(name: str, fix: str) -> str:
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {fix}")
    return value


def master_key(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured(f"{name} must be 32 bytes in base64: run `python -m mhealth.newenv` for a new one")
    return key


def database(url: str) -> dict:
    if not url.startswith(("sqlite:", "postgres:", "postgresql:")):
        raise ImproperlyConfigured("DATABASE_URL must be sqlite:///… or postgresql://…")
    try:
        config = env.db_url_config(url)
    except Exception as problem:  # its text would show the password
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read ({type(problem).__name__})") from problem
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",  # take the write lock at the start: no deadlock on upgrade
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        config["CONN_MAX_AGE"] = 60
        config["CONN_HEALTH_CHECKS"] = True
        config["OPTIONS"] = {"connect_timeout": 3}
    return config


DEMO = env.bool("DEMO_MODE", default=False)
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = required("SECRET_KEY", "run `python -m mhealth.newenv`, or set 50 or more random characters")
MASTER_KEY = master_key(
    "MASTER_KEY", required("MASTER_KEY", "run `python -m mhealth.newenv`, or set 32 bytes in base64")
)
MASTER_KEYS_OLD = [master_key("MASTER_KEYS_OLD", text) for text in env.list("MASTER_KEYS_OLD", default=[])]
HTTPS = env.bool("HTTPS", default=not (DEMO or DEBUG))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the look; the site class is ours
    "unfold.contrib.simple_history",
    "mhealth.people.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "knox",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "simple_history",
    "mhealth.platform",
    "mhealth.people",
    "mhealth.safety",
    "mhealth.outcomes",
    "mhealth.trials",
    "mhealth.checkins",
    "interventions",
    "mhealth.research",
    "mhealth.portal",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "mhealth.platform.middleware.RequestId",
    "mhealth.platform.middleware.DatabaseAway",
    "django.middleware.security.SecurityMiddleware",
    "mhealth.platform.middleware.ContentSecurityPolicy",
    "mhealth.platform.middleware.NotKept",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "mhealth.platform.middleware.BodyLimit",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mhealth.platform.row_security.OfTheRequest",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "mhealth.platform.idempotency.Idempotency",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "mhealth.urls"
WSGI_APPLICATION = "mhealth.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "mhealth" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
# The owner of the tables, for the commands that change them; the service itself needs no such rights.
if sys.argv[1:2] in (["migrate"], ["grant_app_role"]):
    DATABASE_URL = env.str("MIGRATION_DATABASE_URL", default=DATABASE_URL)
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": (
        {
            "BACKEND": "mhealth.platform.cache.FailOpenRedisCache",
            "LOCATION": env.str("CACHE_URL"),
            "OPTIONS": {"socket_connect_timeout": 0.3, "socket_timeout": 0.3},  # no request waits for a throttle
        }
        if env.str("CACHE_URL", default="")
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# Work. Without CELERY_BROKER_URL the web process does it in a thread (platform.embedded).
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,
    # kombu looks for unacknowledged messages this often; its default made recovery after kill -9 take minutes
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 5,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "max_retries": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_ROUTES = {
    "mhealth.checkins.tasks.*": {"queue": "media"},
    "interventions.tasks.*": {"queue": "decide"},
    "interventions.tasks.train_recommender": {"queue": "training"},
    "mhealth.research.tasks.*": {"queue": "export"},
    "mhealth.people.tasks.*": {"queue": "export"},
    "mhealth.*": {"queue": "notify"},
}
CELERY_TASK_DEFAULT_QUEUE = "notify"
SWEEP_EVERY_S = env.int("SWEEP_EVERY_S", default=10)
# Dotted tasks run on a schedule, by beat or by the embedded thread: {"task": …, "schedule": seconds}.
CELERY_BEAT_SCHEDULE = {
    **{
        f"platform.pulse.{queue}": {
            "task": "mhealth.platform.tasks.pulse",
            "schedule": 30,
            "options": {"queue": queue, "expires": 30},
        }
        for queue in ("media", "decide", "export", "notify", "training")
    },
    "safety.send_alerts": {"task": "mhealth.safety.tasks.send_alerts", "schedule": 30},
    "safety.warn_operators": {"task": "mhealth.safety.tasks.warn_operators", "schedule": 86400},
    "outcomes.due_reminders": {"task": "mhealth.outcomes.tasks.due_reminders", "schedule": 600},
    "people.sweep_exports": {"task": "mhealth.people.tasks.sweep_exports", "schedule": 60},
    "people.erase_due": {"task": "mhealth.people.tasks.erase_due", "schedule": 3600},
    "people.follow_withdrawals": {"task": "mhealth.people.tasks.follow_withdrawals", "schedule": 60},
    "platform.forget_old_answers": {"task": "mhealth.platform.tasks.forget_old_answers", "schedule": 3600},
    "people.forget_ended_sessions": {"task": "mhealth.people.tasks.forget_ended_sessions", "schedule": 86400},
    "research.sweep_exports": {"task": "mhealth.research.tasks.sweep_exports", "schedule": 60},
    "checkins.sweep": {"task": "mhealth.checkins.tasks.sweep", "schedule": SWEEP_EVERY_S},
    "interventions.decide_due": {"task": "interventions.tasks.decide_due", "schedule": SWEEP_EVERY_S},
    "interventions.train_recommender": {"task": "interventions.tasks.train_recommender", "schedule": 86400},
    "checkins.purge": {"task": "mhealth.checkins.tasks.purge", "schedule": 3600},
}
LEASE_S = env.int("LEASE_S", default=60)  # a worker that has not renewed for so long has lost the row
SWEEP_AFTER_S = env.int("SWEEP_AFTER_S", default=60)  # a row hinted longer ago than this is hinted again
# Dotted functions that checkins calls with the id of a finished check-in.
AFTER_ANALYSIS = ["interventions.services.after_analysis"]
# What reads one part of a check-in: f(modality, data) -> emotion.Estimate. Fault tests put one of fixed cost here.
CHECKIN_READER = env.str("CHECKIN_READER", default="mhealth.checkins.recognisers.read")
CHECKIN_EXPLAINER = "mhealth.checkins.recognisers.explain"  # f(modality, data) -> what an estimate rests on, as JSON
CHECKIN_WINDOWS = "mhealth.checkins.recognisers.along"  # f(data) -> seconds of a voice, and what each window expresses
CHECKIN_WATCHER = "mhealth.checkins.recognisers.watch"  # f(data) -> recognisers.Watched: face and voice of a video
VIDEO_CHECK_INS = env.bool("VIDEO_CHECK_INS", default=False)  # the workers need PyAV or the program ffmpeg for it
# A language model of the operator's at an OpenAI-compatible address may say the sentences of a report on face and voice
# anew; it is sent those sentences and nothing else. Empty: the templates stand.
DISPARITY_REWRITER = env.str("DISPARITY_REWRITER", default="")
DISPARITY_REWRITER_MODEL = env.str("DISPARITY_REWRITER_MODEL", default="default")
# Dotted functions that a worker child calls before its first task.
WORKER_WARM_UP = env.list("WORKER_WARM_UP", default=["mhealth.checkins.recognisers.warm_up"])

MEDIA_STORE_URL = env.str("MEDIA_STORE_URL", default=f"file://{VAR_DIR / 'media'}")
# Checkpoint folder of the recognisers; empty: the ones this package ships.
EMOTION_CHECKPOINTS = env.str("EMOTION_CHECKPOINTS", default="")
RECOMMENDER_MODELS = Path(env.str("RECOMMENDER_MODELS", default=str(VAR_DIR / "models")))

AUTH_USER_MODEL = "people.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", default=True)  # only the demo turns it off, and says so
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = False  # clinic computers are shared: a session ends with the browser
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before the mail address changes, as before the second factor does
ACCOUNT_ADAPTER = "mhealth.people.adapters.AccountAdapter"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
MFA_ADAPTER = "mhealth.people.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # a code counts for 30 s more: clocks differ, fingers are slow
MFA_ALLOW_UNVERIFIED_EMAIL = True  # staff accounts are made by an operator, nobody signs up
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_COOKIE_AGE = 8 * 3600  # a staff working day
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# With this prefix a browser takes them from this host alone, over HTTPS.
SESSION_COOKIE_NAME = "__Host-sessionid" if HTTPS else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if HTTPS else "csrftoken"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 86400 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^api/v1/health/", r"^metrics$"]  # probes come by plain HTTP from inside
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
CSRF_FAILURE_VIEW = "mhealth.platform.problems.csrf_failure"
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # without one, /metrics answers this machine only
X_FRAME_OPTIONS = "DENY"

SIMPLE_HISTORY_REVERT_DISABLED = True  # a text that was reviewed is never turned back behind its reviewers

KNOX_TOKEN_MODEL = "people.Device"  # noqa: S105 (a model, not a secret)
MIGRATION_MODULES = {"knox": None}  # knox must stand in INSTALLED_APPS, but its token table is ours: people_device
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=30),  # idle
    "AUTO_REFRESH": True,
    "AUTO_REFRESH_MAX_TTL": timedelta(days=180),  # absolute
    "AUTH_HEADER_PREFIX": "Bearer",
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["mhealth.people.authentication.DeviceToken"],
    "DEFAULT_PERMISSION_CLASSES": ["mhealth.platform.access.DenyByDefault"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "mhealth.platform.pagination.NewestFirst",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "mhealth.platform.schema.ProblemSchema",
    "DEFAULT_THROTTLE_CLASSES": ["mhealth.platform.throttles.PerPerson", "mhealth.platform.throttles.PerAddress"],
    "DEFAULT_THROTTLE_RATES": {
        "person": env.str("THROTTLE_PERSON", default="300/min"),
        "address": env.str("THROTTLE_ADDRESS", default="120/min"),
        "sign_in": env.str("THROTTLE_SIGN_IN", default="10/min"),
    },
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,  # X-Forwarded-For counts only behind a proxy of ours
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "mhealth.platform.problems.ProblemHandler",
    "EXCEPTION_FORMATTER_CLASS": "mhealth.platform.problems.ProblemFormatter",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "mHealth study backend",
    "VERSION": "1",
    "DESCRIPTION": "Check-ins, expressed emotion, CBT activities and DASS-21 outcomes of a digital study.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "WorkStatusEnum": "mhealth.platform.leases.WorkStatus",
        "ParticipantStatusEnum": "mhealth.people.models.Participant.Status",
        "EmotionEnum": "mhealth.checkins.serializers.EMOTIONS",
        "ReasonEnum": "interventions.models.delivery.DecisionEvent.SkipReason",
        "RiskStateEnum": "mhealth.safety.models.State",
        "RiskSeverityEnum": "mhealth.safety.models.Severity",
        "TrialStatusEnum": "mhealth.trials.models.Trial.Status",
        "EnrolmentStatusEnum": "mhealth.trials.models.Enrolment.Status",
        "UnblindingStatusEnum": "mhealth.trials.models.UnblindingRequest.Status",
        "AdverseEventSeverityEnum": "mhealth.trials.models.AdverseEvent.Severity",
    },
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("es", "Español")]
USE_TZ = True
TIME_ZONE = "UTC"
LOCALE_PATHS = [BASE_DIR / "mhealth" / "locale"]
FORMAT_MODULE_PATH = "mhealth.formats"  # pages never show a time without its zone

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "mhealth" / "static"]
WHITENOISE_USE_FINDERS = True  # a fresh clone serves the admin's assets without collectstatic
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024  # JSON bodies and form fields
FILE_UPLOAD_HANDLERS = ["mhealth.platform.uploads.BoundedMemory"]  # no clear file on disk
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds; a mail server that hangs must not hold a worker
# Push messages: the JSON file of a Firebase service account; empty: none are sent, reminders go by mail.
FCM_SERVICE_ACCOUNT = env.str("FCM_SERVICE_ACCOUNT", default="")
FCM_URL = env.str("FCM_URL", default="https://fcm.googleapis.com")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="study@localhost")

UNFOLD = {
    "SITE_TITLE": "mHealth study",
    "SITE_HEADER": "mHealth study",
    "SHOW_HISTORY": True,
    "ENVIRONMENT": "mhealth.people.staff.environment",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "mhealth.portal.navigation.icon"}],
    "SITE_ICON": dict.fromkeys(["light", "dark"], "mhealth.portal.navigation.icon"),
    "STYLES": ["mhealth.portal.navigation.stylesheet"],
    "SIDEBAR": {"navigation": "mhealth.portal.navigation.sidebar"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "mhealth.platform.logs.formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {"django.request": {"level": "ERROR"}},
}
