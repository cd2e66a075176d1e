"""Pages and management API alone, for a WSGI server. The gateway needs asgi.py."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
application = get_wsgi_application()
