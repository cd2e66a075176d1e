"""Management API: ``Authorization: Bearer hp_pat_…`` acts with the rights of the key's person."""

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from marketplace.accounts import access, keys
from marketplace.accounts.models import ApiKey, User


class PersonalKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        header = get_authorization_header(request).split()
        if not header or header[0].lower() != b"bearer":
            return None
        at = timezone.now()
        try:
            key = keys.authenticate(header[-1].decode("ascii", "replace"), at=at)
        except keys.BadKey as error:
            raise AuthenticationFailed(str(error)) from error
        if key.user is None or not key.user.is_active:
            raise AuthenticationFailed("This path takes the key of a person (hp_pat_…).")
        keys.touch(key.pk, at=at)
        request._request.actor = access.actor_for(key.user)  # type: ignore[attr-defined]
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="halfpenny"'
