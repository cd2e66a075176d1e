"""The link by which a person sets their first password, or a new one."""

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse

from marketplace.accounts.models import User


def password_path(person: User) -> str:
    """Return the path of a page that sets a password: it works once, and for three days.

    It stops working with the first password that is set, or when the person signs in.
    """
    key = default_token_generator.make_token(person)
    return reverse(
        "account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(person), "key": key}
    )
