"""How allauth behaves here."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Open sign-up is a setting: inside a company people come through the company's own sign-in."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.OPEN_SIGN_UP)

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """Do nothing: people are known by their mail address."""


class CompanyAccountAdapter(DefaultSocialAccountAdapter):
    """Whoever the company's own provider sends may come in, also where nobody else can sign up."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True
