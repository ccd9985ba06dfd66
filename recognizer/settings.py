"""Settings. Every value that may change comes from the environment; docs/settings.md lists them all."""

import re
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.retry import Retry

from recognizer import environment
from recognizer.admin_site import UNFOLD  # noqa: F401 - a setting, made elsewhere
from recognizer.logs import is_calmed, is_news
from recognizer.secret_key import load_secret_key
from recognizer.supervisor.paths import broker_socket

# ModelAdmin[Prediction] and its like are types at run time too.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
RECOGNIZER_VERSION = "0.1.0"

# Where everything lives
RECOGNIZER_DATA_DIR = Path(environment.text("RECOGNIZER_DATA_DIR", str(BASE_DIR))).resolve()
MEDIA_ROOT = RECOGNIZER_DATA_DIR / "media"
RECOGNIZER_ARTIFACT_DIR = MEDIA_ROOT / "artifacts"

# Who may reach us
RECOGNIZER_PRODUCTION = environment.flag("RECOGNIZER_PRODUCTION", default=False)
DEBUG = False
SECRET_KEY = load_secret_key(MEDIA_ROOT / "run" / "secret_key", required=RECOGNIZER_PRODUCTION)
# This machine's own names always count: the supervisor and health checks use them.
RECOGNIZER_OWN_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = [*environment.words("RECOGNIZER_ALLOWED_HOSTS"), *RECOGNIZER_OWN_HOSTS]
CSRF_TRUSTED_ORIGINS = environment.words("RECOGNIZER_TRUSTED_ORIGINS")
RECOGNIZER_TRUSTED_PROXY = environment.text("RECOGNIZER_TRUSTED_PROXY")
RECOGNIZER_TRUSTED_PROXY_HEADERS = ["x-forwarded-for", "x-forwarded-proto"] if RECOGNIZER_TRUSTED_PROXY else []
RECOGNIZER_WEB_THREADS = environment.integer("RECOGNIZER_WEB_THREADS", 72, minimum=4, maximum=512)
RECOGNIZER_SIGN_UP = environment.flag("RECOGNIZER_SIGN_UP", default=False)
RECOGNIZER_METRICS_TOKEN = environment.text("RECOGNIZER_METRICS_TOKEN")

# Recognition
RECOGNIZER_DEFAULT_MODEL = environment.text("RECOGNIZER_DEFAULT_MODEL", "imagenet")
RECOGNIZER_TRAIN_DEFAULT = environment.flag("RECOGNIZER_TRAIN_DEFAULT", default=False)
RECOGNIZER_WAIT_SECONDS = environment.integer("RECOGNIZER_WAIT_SECONDS", 10, minimum=0, maximum=60)
RECOGNIZER_MAX_PENDING = environment.integer("RECOGNIZER_MAX_PENDING", 1000, minimum=1, maximum=1_000_000)
RECOGNIZER_BATCH_SIZE = environment.integer("RECOGNIZER_BATCH_SIZE", 8, minimum=1, maximum=64)
RECOGNIZER_ENGINE = environment.choice("RECOGNIZER_ENGINE", "auto", choices=["auto", "openvino", "torch"])
RECOGNIZER_DEVICE = environment.choice("RECOGNIZER_DEVICE", "cpu", choices=["cpu", "cuda"])
RECOGNIZER_PRECISION = environment.choice(
    "RECOGNIZER_PRECISION", "auto", choices=["auto", "float32", "bfloat16", "float16"]
)
RECOGNIZER_RETRAIN_AFTER_REVIEWS = environment.integer(
    "RECOGNIZER_RETRAIN_AFTER_REVIEWS", 0, minimum=0, maximum=1_000_000
)
RECOGNIZER_UNLOAD_AFTER = environment.integer("RECOGNIZER_UNLOAD_AFTER", 3600, minimum=0, maximum=31_536_000)
RECOGNIZER_NUM_THREADS = environment.integer("RECOGNIZER_NUM_THREADS", 0, minimum=0, maximum=256)
RECOGNIZER_TIME_ENGINES = environment.flag("RECOGNIZER_TIME_ENGINES", default=True)

# The gate before a promotion
RECOGNIZER_GATE_MARGIN = environment.number("RECOGNIZER_GATE_MARGIN", 0, minimum=0, maximum=1)
RECOGNIZER_GATE_CLASS_MARGIN = environment.number("RECOGNIZER_GATE_CLASS_MARGIN", 0.05, minimum=0, maximum=1)
RECOGNIZER_GATE_CLASS_PHOTOS = environment.integer("RECOGNIZER_GATE_CLASS_PHOTOS", 10, minimum=1, maximum=100_000)
RECOGNIZER_GATE_LATENCY = environment.number("RECOGNIZER_GATE_LATENCY", 1.5, minimum=1, maximum=100)

# Uploads. A body is one image, in base64 at most (4/3), and a few small fields beside it.
RECOGNIZER_MAX_UPLOAD_BYTES = environment.integer(
    "RECOGNIZER_MAX_UPLOAD_BYTES", 25_000_000, minimum=1_000, maximum=90_000_000
)
RECOGNIZER_MAX_BODY_BYTES = RECOGNIZER_MAX_UPLOAD_BYTES * 4 // 3 + 100_000
# The page without scripts sends all photos in one form. The web server takes 128 MiB.
RECOGNIZER_MAX_FORM_BYTES = min(RECOGNIZER_MAX_UPLOAD_BYTES * 4, 120_000_000) + 100_000
DATA_UPLOAD_MAX_MEMORY_SIZE = RECOGNIZER_MAX_BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = RECOGNIZER_MAX_FORM_BYTES  # in memory: the bytes are hashed and written once, by intake
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000  # an admin action names each chosen row
DATA_UPLOAD_MAX_NUMBER_FILES = 50
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_filters",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "recognizer.registry",
    "recognizer.predictions",
    "recognizer.training",
]

MIDDLEWARE = [
    "recognizer.metrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "recognizer.middleware.PagePolicyMiddleware",
    "recognizer.admin_site.AdminPolicyMiddleware",
    "recognizer.middleware.BodyLimitMiddleware",
    "recognizer.middleware.SameOriginMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "recognizer.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "recognizer.middleware.RequestLogMiddleware",
    "recognizer.middleware.PageMessagesMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "recognizer.urls"
WSGI_APPLICATION = "recognizer.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

# Database
DATABASES = {
    "default": dj_database_url.parse(
        environment.text("DATABASE_URL", f"sqlite:///{RECOGNIZER_DATA_DIR / 'db.sqlite3'}"), conn_max_age=600
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # WAL with IMMEDIATE transactions: 8 writers gave no "database is locked" (defaults: 28-40 %). FULL: a commit
    # survives a power cut; workers lower it to NORMAL in tasks.py: a power cut only makes them do their work again.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {})["connect_timeout"] = 5  # an absent host must not hold threads
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Files: local disk by default, an S3-compatible bucket when one is named
RECOGNIZER_S3_BUCKET = environment.text("RECOGNIZER_S3_BUCKET")
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "recognizer.storage.DurableStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
if RECOGNIZER_S3_BUCKET:
    from botocore.config import Config

    STORAGES["default"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": RECOGNIZER_S3_BUCKET,
            "endpoint_url": environment.text("RECOGNIZER_S3_ENDPOINT") or None,
            "default_acl": None,
            "querystring_auth": True,
            "file_overwrite": True,  # names are content hashes: the same name is the same bytes
            # botocore's own are 60 s and five times, in which every web thread may end up waiting for the bucket.
            "client_config": Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2}),
        },
    }
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = not RECOGNIZER_PRODUCTION  # the embedded default needs no collectstatic
WHITENOISE_MAX_AGE = 3600

# Broker
RECOGNIZER_BROKER_SOCKET = broker_socket(RECOGNIZER_DATA_DIR)
RECOGNIZER_BROKER_URL = environment.text("RECOGNIZER_BROKER_URL", f"unix://{RECOGNIZER_BROKER_SOCKET}")
if not re.match("(unix|redis|rediss)://.", RECOGNIZER_BROKER_URL):
    raise ImproperlyConfigured(
        f"RECOGNIZER_BROKER_URL must start with unix://, redis:// or rediss://; it is {RECOGNIZER_BROKER_URL!r}."
    )
CELERY_BROKER_URL = re.sub("^unix://", "redis+socket://", RECOGNIZER_BROKER_URL)
# Short timeouts and no retries: a dead broker must not hold an upload (Celery's defaults hold it for 19 s).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "visibility_timeout": 60,
    "retry_on_timeout": False,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True  # answers live in our database
CELERY_TASK_DEFAULT_QUEUE = "predict"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL_START_METHOD = "spawn"  # a forked child inherits locks of the runtimes' threads
# A new child says that it is up once it has loaded every model. Celery's default of 4 s killed each one before that,
# and so on for ever, as soon as a slow machine had lost its first child.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 120.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "recognizer.beat:SteadyScheduler"
CELERY_BEAT_SCHEDULE = {
    # A reconcile that waited longer than its period is of no use: the next one stands behind it.
    "reconcile": {"task": "reconcile", "schedule": 5.0, "options": {"expires": 5.0}},
    "look": {"task": "look", "schedule": 10.0, "options": {"expires": 10.0}},
    "second-opinions": {"task": "second-opinions", "schedule": 5.0, "options": {"expires": 5.0}},
    "sweep": {"task": "sweep", "schedule": 60.0, "options": {"expires": 60.0}},
    "clean-runs": {"task": "clean-runs", "schedule": 86_400.0, "options": {"queue": "train", "expires": 86_400.0}},
    "retrain-when-due": {"task": "retrain-when-due", "schedule": 600.0, "options": {"expires": 600.0}},
    "tend": {"task": "tend", "schedule": 60.0, "options": {"expires": 60.0}},
}

# People
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_VERBOSE = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "upload"
LOGOUT_REDIRECT_URL = "upload"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "recognizer.problems.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = RECOGNIZER_PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if RECOGNIZER_TRUSTED_PROXY else None
SECURE_HSTS_SECONDS = 31_536_000 if RECOGNIZER_PRODUCTION else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if environment.text("EMAIL_HOST")
    else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_HOST = environment.text("EMAIL_HOST")
EMAIL_PORT = environment.integer("EMAIL_PORT", 587, minimum=1, maximum=65_535)
EMAIL_HOST_USER = environment.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = environment.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = environment.flag("EMAIL_USE_TLS", default=True)
DEFAULT_FROM_EMAIL = environment.text("DEFAULT_FROM_EMAIL", "recognizer@localhost")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# HTTP API
RECOGNIZER_RATE_LIMIT = environment.text("RECOGNIZER_RATE_LIMIT", "60/min" if RECOGNIZER_PRODUCTION else "off")
if not re.fullmatch(r"off|\d+/(sec|min|hour|day)", RECOGNIZER_RATE_LIMIT):
    raise ImproperlyConfigured(
        f"RECOGNIZER_RATE_LIMIT must be off or like 60/min (sec, min, hour, day); it is {RECOGNIZER_RATE_LIMIT!r}."
    )
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "recognizer.negotiation.QuickNegotiation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["recognizer.predictions.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_VERSION": "1",
    "ALLOWED_VERSIONS": ["1"],
    "DEFAULT_THROTTLE_RATES": {"predict": None if RECOGNIZER_RATE_LIMIT == "off" else RECOGNIZER_RATE_LIMIT},
    "EXCEPTION_HANDLER": "recognizer.problems.problem_handler",
    "NUM_PROXIES": 1 if RECOGNIZER_TRUSTED_PROXY else 0,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Recognizer",
    "DESCRIPTION": "Send a photo, get its label. Errors are RFC 9457 problem documents.",
    "VERSION": RECOGNIZER_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": RECOGNIZER_BROKER_URL,
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)},
        }
        if RECOGNIZER_RATE_LIMIT != "off"
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# Language and time
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Chinese"))]
USE_I18N = True
USE_TZ = True
TIME_ZONE = environment.text("TIME_ZONE", "UTC")
FORMAT_MODULE_PATH = "recognizer.formats"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "recognizer.logs.formatter"}},
    "filters": {
        "news": {"()": "django.utils.log.CallbackFilter", "callback": is_news},
        "calm": {"()": "django.utils.log.CallbackFilter", "callback": is_calmed},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["news", "calm"]}},
    "root": {
        "handlers": ["console"],
        "level": environment.choice("LOG_LEVEL", "WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
    },
}
