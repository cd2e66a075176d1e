"""The link in a mail that leads to a decision without signing in: of one person, for one level of one request, for a week.

It is good for nothing once that level is decided: what it names is the state the request has to be in. It opens a page that
asks; only pressing a button there decides, and then the person still needs the right.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.core import signing

from marketplace.accounts.models import User
from marketplace.core.errors import NotFound
from quotas.increase_models import IncreaseRequest
from quotas.owners import RELATED

VALID = timedelta(days=7)
_SALT = "quotas.decision_links"


@dataclass(frozen=True)
class Link:
    """What a token stands for."""

    request: IncreaseRequest
    person: User
    level: str

    @property
    def is_open(self) -> bool:
        """Tell whether the request still waits where it did when the link was made."""
        return self.request.state == self.level


def token_for(request: IncreaseRequest, *, person: User, level: str) -> str:
    """Return the token of a person for a level of a request."""
    return signing.dumps([str(request.pk), person.pk, level], salt=_SALT)


def by_token(token: str) -> Link:
    """Return what a token stands for. Raises NotFound for one that is damaged, too old, or of somebody who has left."""
    try:
        request_id, person_id, level = signing.loads(token, salt=_SALT, max_age=VALID)
        request = IncreaseRequest.objects.select_related(*RELATED, "requester", "charged_cost_center")
        return Link(request.get(pk=UUID(request_id)), User.objects.get(pk=person_id, is_active=True), level)
    except (signing.BadSignature, IncreaseRequest.DoesNotExist, User.DoesNotExist) as error:
        raise NotFound("link", token) from error
