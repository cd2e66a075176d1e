"""The key of an app, where it opens anything but ``/meter``: a view names this class, and no other one takes such keys."""

from dataclasses import dataclass

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import App, AppKey


@dataclass(frozen=True)
class ReportingApp:
    """Who asks with the key of an app: no person, and without the rights of any."""

    app: App
    environment: str
    is_authenticated: bool = True


class AppKeyAuthentication(BaseAuthentication):
    """Takes ``hp_app_…`` and leaves every other key to the next class."""

    def authenticate(self, request: Request) -> tuple[ReportingApp, ApiKey] | None:
        header = get_authorization_header(request).split()
        if len(header) != 2 or header[0].lower() != b"bearer" or not header[1].startswith(b"hp_app_"):
            return None
        at = timezone.now()
        try:
            key = keys.authenticate(header[1].decode("ascii", "replace"), at=at)
            link = AppKey.objects.select_related("app").get(key=key)
        except (keys.BadKey, AppKey.DoesNotExist) as error:
            raise AuthenticationFailed(str(keys.BadKey())) from error
        keys.touch(key.pk, at=at)
        return ReportingApp(link.app, link.environment), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="halfpenny"'
