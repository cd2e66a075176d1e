"""Every setting of Halfpenny, each read once, strictly, with a safe default for development.

What production needs beyond these defaults is said by the system checks in ``checks.py``.
"""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog
from celery.schedules import crontab
from csp.constants import NONE, SELF
from environs import Env

from marketplace.config import paths

env = Env()

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = paths.data_dir()
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

# --- product ---------------------------------------------------------------------------------------------
MARKETPLACE_NAME = env.str("MARKETPLACE_NAME", "Halfpenny")
CURRENCY = env.str("HALFPENNY_CURRENCY", "USD")
LEGAL_ENTITY = env.str("HALFPENNY_LEGAL_ENTITY", "Halfpenny Demo Company")
DEFAULT_REVENUE_SHARE = env.decimal("HALFPENNY_REVENUE_SHARE", Decimal("0.20"))
# Up to this, in CURRENCY, one person of finance may give money back; more takes a second one.
CREDIT_ALONE_UP_TO = env.decimal("HALFPENNY_CREDIT_ALONE_UP_TO", Decimal(100))
DISPUTE_DAYS = env.int("HALFPENNY_DISPUTE_DAYS", 5)
DISPUTE_DECISION_DAYS = env.int("HALFPENNY_DISPUTE_DECISION_DAYS", 5)
# Days after its end in which a month still takes usage, with its bills as drafts, before it is closed; -1: by hand.
GRACE_DAYS = env.int("HALFPENNY_GRACE_DAYS", -1)
# How many workers share the work of closing a month.
CLOSE_WORKERS = env.int("HALFPENNY_CLOSE_WORKERS", 2)
# The same of what is written off; up to the second, the rest of a payment that came short is too small to ask for.
WRITE_OFF_ALONE_UP_TO = env.decimal("HALFPENNY_WRITE_OFF_ALONE_UP_TO", Decimal(100))
SMALL_DIFFERENCE_UP_TO = env.decimal("HALFPENNY_SMALL_DIFFERENCE_UP_TO", Decimal(1))
# Whether creators are not paid for what a payer never paid; else the platform pays them all the same.
CREATORS_BEAR_LOSSES = env.bool("HALFPENNY_CREATORS_BEAR_LOSSES", True)
# Up to this, in CURRENCY, one person of finance approves a payout to a creator; more takes two.
PAYOUT_ALONE_UP_TO = env.decimal("HALFPENNY_PAYOUT_ALONE_UP_TO", Decimal(1_000))
# Days that money waits at least, after the payer's money came, before it is paid out to creators.
PAYOUT_HOLD_DAYS = env.int("HALFPENNY_PAYOUT_HOLD_DAYS", 0)
# Whether the platform takes over what a creator would owe at the end of a month; else it is carried forward.
PLATFORM_BEARS_NEGATIVES = env.bool("HALFPENNY_PLATFORM_BEARS_NEGATIVES", False)
# Parts of an app's price that the platform has to keep: below the first its check fails, below the second it warns.
MARGIN_FAIL_BELOW = env.decimal("HALFPENNY_MARGIN_FAIL_BELOW", Decimal(0))
MARGIN_WARN_BELOW = env.decimal("HALFPENNY_MARGIN_WARN_BELOW", Decimal("0.01"))
# What a subscriber on a free plan may cost a month at most, in CURRENCY, or how many of them one who pays has to carry.
FREE_PLAN_COST = env.decimal("HALFPENNY_FREE_PLAN_COST", Decimal(2))
FREE_PER_PAYING = env.int("HALFPENNY_FREE_PER_PAYING", 20)
# Empty: code is not looked at by semgrep. Else its command, such as /opt/semgrep/bin/semgrep.
SEMGREP_COMMAND = env.str("HALFPENNY_SEMGREP", "")
POOL_COMMAND = env.str("HALFPENNY_POOL_COMMAND", "")
POOL_SNAPSHOT_COMMAND = env.str("HALFPENNY_POOL_SNAPSHOT_COMMAND", "")
POOL_RESTORE_COMMAND = env.str("HALFPENNY_POOL_RESTORE_COMMAND", "")
# The time a smoke test may take, apart from waiting for a worker; its job's lease is longer.
SMOKE_SECONDS = env.int("HALFPENNY_SMOKE_SECONDS", 300)
SANDBOX_CREDIT = env.decimal("HALFPENNY_SANDBOX_CREDIT", Decimal("1.00"))
EMBEDDING_MODEL = env.str("HALFPENNY_EMBEDDING_MODEL", "local-hash-256")
PRICE_NOTICE_DAYS = env.int("HALFPENNY_PRICE_NOTICE_DAYS", 30)
DEPRECATION_NOTICE_DAYS = env.int("HALFPENNY_DEPRECATION_NOTICE_DAYS", 30)
RUN_RETENTION_DAYS = env.int("HALFPENNY_RUN_RETENTION_DAYS", 30)
HOLD_SECONDS = env.int("HALFPENNY_HOLD_SECONDS", 300)
WHEN_CALLER_LEAVES = env.str("HALFPENNY_WHEN_CALLER_LEAVES", "cancel")
METRICS_KEY = env.str("HALFPENNY_METRICS_KEY", "")
# Files of batches: how large one may be and all of a subscription together, how many lines, how long they are kept.
FILE_MAX_BYTES = env.int("HALFPENNY_FILE_MAX_MB", 100) * 1024 * 1024
FILES_MAX_BYTES = env.int("HALFPENNY_FILES_MAX_MB", 1000) * 1024 * 1024
FILE_RETENTION_DAYS = env.int("HALFPENNY_FILE_RETENTION_DAYS", 30)
BATCH_MAX_LINES = env.int("HALFPENNY_BATCH_MAX_LINES", 50_000)
# How many batches are worked on at once in the whole installation, and how many lines of each.
BATCHES_AT_ONCE = env.int("HALFPENNY_BATCHES_AT_ONCE", 1)
BATCH_LINES_AT_ONCE = env.int("HALFPENNY_BATCH_LINES_AT_ONCE", 16)
# The payment processor. Without a key the demo plays it, and an installation that is no demo takes no cards.
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", "")
STRIPE_LIVE = env.bool("HALFPENNY_STRIPE_LIVE", False)
PUBLIC_URL = env.str("HALFPENNY_PUBLIC_URL", "http://127.0.0.1:8000")

# --- development, demo, secrets --------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", True)
DEMO = env.bool("DEMO", DEBUG)
SECRET_KEY = env.str("SECRET_KEY", "development-only-key-that-the-deploy-check-refuses")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
DEMO_PROVIDER_URL = env.str("HALFPENNY_DEMO_PROVIDER_URL", "http://127.0.0.1:8001")
EGRESS_ALLOW = env.list("HALFPENNY_EGRESS_ALLOW", [DEMO_PROVIDER_URL.split("//", 1)[-1]] if DEMO else [])

# --- servers ---------------------------------------------------------------------------------------------
DATABASE_URL = env.str("DATABASE_URL", paths.postgres_url(DATA_DIR))
DATABASES = {"default": env.dj_db_url("DATABASE_URL", DATABASE_URL)}
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"]["pool"] = {
    "min_size": 0,
    "max_size": env.int("HALFPENNY_DB_POOL", 16),
    "timeout": 10,
}
# Hot statements are planned once for a connection. A pooler that hands connections out by transaction may not allow that.
DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 5 if env.bool("HALFPENNY_DB_PLANS", True) else None
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_valkey = paths.valkey_socket(DATA_DIR)
REDIS_URL = env.str("REDIS_URL", "")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL or f"unix://{_valkey}?db=2",
        "KEY_PREFIX": "halfpenny",
    }
}

# --- old events ------------------------------------------------------------------------------------------
# Files beside an embedded database last as long as it does. Those of a worker that has its database elsewhere may be gone
# tomorrow, so there nothing is archived until somebody names a folder that stays.
EVENT_RETENTION_MONTHS = env.int("HALFPENNY_EVENT_RETENTION_MONTHS", 13)
_has_own_database = paths.postgres_url(DATA_DIR) == DATABASE_URL
ARCHIVE_DIR = env.str("HALFPENNY_ARCHIVE_DIR", "") or (str(DATA_DIR / "archive") if _has_own_database else "")

# --- applications ----------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "django_cotton",
    "lucide",
    "csp",
    "django_structlog",
    "pgtrigger",
    "marketplace.core",
    "marketplace.accounts",
    "marketplace.catalog",
    "metering",
    "quotas",
    "billing",
    "marketplace.gateway",
    "marketplace.config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "marketplace.accounts.middleware.ActorMiddleware",
    "marketplace.core.problems.DomainErrorMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "marketplace.config.urls"
ASGI_APPLICATION = "marketplace.config.asgi.application"
WSGI_APPLICATION = "marketplace.config.wsgi.application"

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
                "marketplace.config.context.site",
            ],
        },
    }
]

# --- people ----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", "none" if DEBUG or DEMO else "mandatory")
ACCOUNT_LOGOUT_ON_GET = False
# Who set a password by a link that was meant for them need not type it again at once.
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_ADAPTER = "marketplace.accounts.sign_in.AccountAdapter"
OPEN_SIGN_UP = env.bool("HALFPENNY_OPEN_SIGN_UP", DEBUG or DEMO)
# Public listings can be read without signing in.
PUBLIC_CATALOG = env.bool("HALFPENNY_PUBLIC_CATALOG", False)
# One OpenID Connect provider by settings: OIDC_SERVER_URL, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_NAME.
OIDC_SERVER_URL = env.str("OIDC_SERVER_URL", "")
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = {
    "openid_connect": {
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("OIDC_NAME", "Company account"),
                "client_id": env.str("OIDC_CLIENT_ID", ""),
                "secret": env.str("OIDC_CLIENT_SECRET", ""),
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ]
        if OIDC_SERVER_URL
        else [],
        # The provider is the company's: who it says somebody is, by a mail address it verified, that they are.
        "EMAIL_AUTHENTICATION": True,
    }
}
SOCIALACCOUNT_ADAPTER = "marketplace.accounts.sign_in.CompanyAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
# A link and not a form: browsers hold the redirects of a form to form-action, and a provider's lead anywhere.
SOCIALACCOUNT_LOGIN_ON_GET = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", not DEBUG)
SESSION_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", False)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 0 if DEBUG else 31_536_000)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", False) else None
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "marketplace.config.error_pages.form_too_old"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- pages -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
USE_TZ = True
TIME_ZONE = "UTC"
USE_THOUSAND_SEPARATOR = False
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if env.bool("HALFPENNY_HASHED_STATIC", False)
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not env.bool("HALFPENNY_HASHED_STATIC", False)
MEDIA_ROOT = DATA_DIR / "files"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- background work -------------------------------------------------------------------------------------
# Early acknowledgement: the row in PostgreSQL is the queue, the message only a nudge, and a late
# acknowledgement kills the worker when the broker connection drops (kombu 5.7).
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{_valkey}?virtual_host=1"
# A nudge is lost at once when the broker is away, since the sweep finds its row; kombu would try for six seconds
# while somebody waits for a page. Workers and beat wait for their broker by rules of their own.
CELERY_BROKER_TRANSPORT_OPTIONS = {"max_retries": 0}
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Every task has its queue here and nowhere else. One queue is enough while routines are short; to let workers of their
# own do the jobs, name another one here and start them with it.
CELERY_TASK_ROUTES = {
    "core.run_job": {"queue": "celery"},
    "billing.mark_overdue": {"queue": "celery"},
    "billing.tend_creators": {"queue": "celery"},
    "billing.allocate_months": {"queue": "celery"},
    "config.enter_idle_pools": {"queue": "celery"},
    "billing.tend_subscriptions": {"queue": "celery"},
    "billing.tend_wallets": {"queue": "celery"},
    "billing.bill_progressively": {"queue": "celery"},
    "billing.tend_payments": {"queue": "celery"},
    "billing.sync_balance": {"queue": "celery"},
    "billing.run_dunning": {"queue": "celery"},
    "billing.tend_months": {"queue": "celery"},
    "billing.verify_daily": {"queue": "celery"},
    "core.sweep_jobs": {"queue": "celery"},
    "gateway.deliver_notices": {"queue": "celery"},
    "gateway.collect_digests": {"queue": "celery"},
    "gateway.purge_deliveries": {"queue": "celery"},
    "gateway.count_routes": {"queue": "celery"},
    "gateway.learn_routes": {"queue": "celery"},
    "gateway.tend_pools": {"queue": "celery"},
    "gateway.purge_pools": {"queue": "celery"},
    "gateway.purge_answers": {"queue": "celery"},
    "gateway.judge_similar_answers": {"queue": "celery"},
    "gateway.work_on_batches": {"queue": "celery"},
    "gateway.purge_files": {"queue": "celery"},
    "gateway.tend_runs": {"queue": "celery"},
    "quotas.sweep_holds": {"queue": "celery"},
    "quotas.purge_counters": {"queue": "celery"},
    "gateway.index_documents": {"queue": "celery"},
    "quotas.tend_increases": {"queue": "celery"},
    "quotas.learn_usual_use": {"queue": "celery"},
    "quotas.tell_of_limits": {"queue": "celery"},
    "quotas.detect_incidents": {"queue": "celery"},
    "quotas.count_service": {"queue": "celery"},
    "metering.tell_catalogue": {"queue": "celery"},
    "catalog.tell_of_new_matches": {"queue": "celery"},
    "quotas.tell_of_incidents": {"queue": "celery"},
    "catalog.move_apps": {"queue": "celery"},
    "catalog.forget_runs": {"queue": "celery"},
    "catalog.rescan": {"queue": "celery"},
    "catalog.expire_waivers": {"queue": "celery"},
    "catalog.reject_overdue": {"queue": "celery"},
    "catalog.carry_out_takedowns": {"queue": "celery"},
    "catalog.begin_prices": {"queue": "celery"},
    "catalog.remind_of_ends": {"queue": "celery"},
    "catalog.end_apps": {"queue": "celery"},
    "metering.compare_declared": {"queue": "celery"},
    "metering.find_free_usage": {"queue": "celery"},
    "metering.tell_of_conflicts": {"queue": "celery"},
    "metering.purge_conflicts": {"queue": "celery"},
    "metering.tend_inboxes": {"queue": "celery"},
    "metering.make_partitions": {"queue": "celery"},
    "metering.archive_events": {"queue": "celery"},
    "metering.queue_reports": {"queue": "celery"},
}
CELERY_BEAT_SCHEDULE = {
    "index-documents": {"task": "gateway.index_documents", "schedule": 60.0},
    "tend-payments": {"task": "billing.tend_payments", "schedule": 600.0},
    "sync-balance": {"task": "billing.sync_balance", "schedule": crontab(minute="40")},
    "tend-creators": {"task": "billing.tend_creators", "schedule": crontab(minute="50")},
    "mark-overdue": {"task": "billing.mark_overdue", "schedule": crontab(minute="25")},
    "enter-idle-pools": {"task": "config.enter_idle_pools", "schedule": crontab(hour="4", minute="50")},
    "allocate-months": {"task": "billing.allocate_months", "schedule": crontab(hour="5", minute="5")},
    "run-dunning": {"task": "billing.run_dunning", "schedule": crontab(minute="40")},
    "tend-months": {"task": "billing.tend_months", "schedule": crontab(minute="35")},
    "verify-daily": {"task": "billing.verify_daily", "schedule": crontab(hour="5", minute="15")},
    "tend-subscriptions": {"task": "billing.tend_subscriptions", "schedule": 60.0},
    "tend-wallets": {"task": "billing.tend_wallets", "schedule": crontab(minute="5")},
    "bill-progressively": {"task": "billing.bill_progressively", "schedule": 600.0},
    "sweep-jobs": {"task": "core.sweep_jobs", "schedule": 5.0},
    "deliver-notices": {"task": "gateway.deliver_notices", "schedule": 10.0},
    "collect-digests": {"task": "gateway.collect_digests", "schedule": 60.0},
    "purge-deliveries": {"task": "gateway.purge_deliveries", "schedule": crontab(hour="4", minute="10")},
    "count-routes": {"task": "gateway.count_routes", "schedule": 600.0},
    "learn-routes": {"task": "gateway.learn_routes", "schedule": 3600.0},
    "tend-pools": {"task": "gateway.tend_pools", "schedule": 10.0},
    "purge-pools": {"task": "gateway.purge_pools", "schedule": crontab(hour="4", minute="20")},
    "purge-answers": {"task": "gateway.purge_answers", "schedule": 3600.0},
    "judge-similar-answers": {"task": "gateway.judge_similar_answers", "schedule": 300.0},
    "work-on-batches": {"task": "gateway.work_on_batches", "schedule": 5.0},
    "tend-runs": {"task": "gateway.tend_runs", "schedule": 60.0},
    "purge-files": {"task": "gateway.purge_files", "schedule": 3600.0},
    "sweep-holds": {"task": "quotas.sweep_holds", "schedule": 15.0},
    "purge-counters": {"task": "quotas.purge_counters", "schedule": 3600.0},
    "tend-increases": {"task": "quotas.tend_increases", "schedule": 60.0},
    "learn-usual-use": {"task": "quotas.learn_usual_use", "schedule": 3600.0},
    "tell-of-limits": {"task": "quotas.tell_of_limits", "schedule": 60.0},
    # More often than hours end: an hour is judged once, soon after it is over, and one that failed is tried again.
    "detect-incidents": {"task": "quotas.detect_incidents", "schedule": 600.0},
    "count-service": {"task": "quotas.count_service", "schedule": 3600.0},
    "tell-of-incidents": {"task": "quotas.tell_of_incidents", "schedule": 60.0},
    "move-apps": {"task": "catalog.move_apps", "schedule": 60.0},
    "tell-of-new-matches": {"task": "catalog.tell_of_new_matches", "schedule": 900.0},
    "tell-catalogue": {"task": "metering.tell_catalogue", "schedule": 3600.0},
    "compare-declared": {"task": "metering.compare_declared", "schedule": crontab(hour="4", minute="10")},
    "rescan": {"task": "catalog.rescan", "schedule": crontab(hour="1", minute="40")},
    "expire-waivers": {"task": "catalog.expire_waivers", "schedule": 3600.0},
    "reject-overdue": {"task": "catalog.reject_overdue", "schedule": 300.0},
    "carry-out-takedowns": {"task": "catalog.carry_out_takedowns", "schedule": 300.0},
    "begin-prices": {"task": "catalog.begin_prices", "schedule": 300.0},
    "remind-of-ends": {"task": "catalog.remind_of_ends", "schedule": 300.0},
    "end-apps": {"task": "catalog.end_apps", "schedule": 300.0},
    "forget-runs": {"task": "catalog.forget_runs", "schedule": 3600.0},
    "tend-inboxes": {"task": "metering.tend_inboxes", "schedule": 3600.0},
    "find-free-usage": {"task": "metering.find_free_usage", "schedule": 3600.0},
    "tell-of-conflicts": {"task": "metering.tell_of_conflicts", "schedule": 3600.0},
    "purge-conflicts": {"task": "metering.purge_conflicts", "schedule": crontab(hour="3", minute="20")},
    "make-partitions": {"task": "metering.make_partitions", "schedule": crontab(hour="0", minute="5")},
    "queue-reports": {"task": "metering.queue_reports", "schedule": 900.0},
    "archive-events": {"task": "metering.archive_events", "schedule": crontab(hour="2", minute="35")},
}

# --- interfaces ------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "marketplace.accounts.authentication.PersonalKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "marketplace.core.parsers.FloatFreeJSONParser",
        "rest_framework.parsers.FormParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "marketplace.core.pagination.TimeCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "marketplace.core.problems.exception_handler",
    "PAGE_SIZE": 50,
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{MARKETPLACE_NAME} management API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Choices of several things have the same field name; these are the names of their types.
    "ENUM_NAME_OVERRIDES": {
        "AsyncRunStateEnum": "marketplace.gateway.async_models.AsyncRun.State",
        "BatchStateEnum": "marketplace.gateway.batch_models.Batch.State",
        "CheckRunStateEnum": "marketplace.catalog.check_models.CheckRun.State",
        "BillingPeriodStateEnum": "billing.models.BillingPeriod.State",
        "CouponScopeEnum": ["line", "plan", "invoice"],
        "ScopeEnum": ["app", "organization"],
        "InvoiceKindEnum": "billing.models.Invoice.Kind",
        "InvoiceStateEnum": "billing.models.Invoice.State",
        "StatementDisputeStateEnum": "billing.models.StatementDispute.State",
        "CostStatementStateEnum": "billing.models.CostStatement.State",
        "ReopeningStateEnum": "billing.models.Reopening.State",
        "CreditNoteStateEnum": "billing.models.CreditNote.State",
        "PaymentAttemptStateEnum": "billing.payments.attempt_models.PaymentAttempt.State",
        "WriteOffStateEnum": "billing.models.WriteOff.State",
        "WriteOffKindEnum": "billing.models.WriteOff.Kind",
        "BankLineStateEnum": "billing.models.BankLine.State",
        "DunningPauseKindEnum": "billing.models.DunningPause.Kind",
        "PoolStateEnum": "marketplace.gateway.pool_models.Pool.State",
        "PoolReplicaStateEnum": "marketplace.gateway.pool_models.PoolReplica.State",
        "PoolEventKindEnum": "marketplace.gateway.pool_models.PoolEvent.Kind",
        "NoticeKindEnum": "marketplace.core.notice_kinds.Kind",
        "NoticeCadenceEnum": "marketplace.core.notice_kinds.Cadence",
        "NoticeChannelStateEnum": "marketplace.core.notice_models.NoticeChannel.State",
        "NoticeChannelFormEnum": "marketplace.core.notice_models.NoticeChannel.Form",
        "NoticeDeliveryStateEnum": "marketplace.core.notice_models.NoticeDelivery.State",
    },
}

# --- mail and logs ---------------------------------------------------------------------------------------
# The demo world sends nothing: a page shows each person what they would have got.
_MAILS = (
    "marketplace.config.kept_mails.KeepingBackend"
    if DEMO
    else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_BACKEND = env.str("EMAIL_BACKEND", _MAILS)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "halfpenny@localhost")
EMAIL_HOST = env.str("EMAIL_HOST", "localhost")
EMAIL_PORT = env.int("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", 20)
_log_steps: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
structlog.configure(
    processors=[*_log_steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _log_steps,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=False) if DEBUG else structlog.processors.JSONRenderer(),
            ],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        # A line for each request is for production, where lines are collected.
        "django_structlog": {"level": "WARNING" if DEBUG else "INFO"},
        "django.request": {"level": "ERROR"},
        # The SDK tells of the start and end of each request's server.
        "mcp": {"level": "WARNING"},
    },
}
