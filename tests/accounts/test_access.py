"""The way to an object: what cannot be a key is answered like what does not exist."""

from uuid import UUID

import pytest

from marketplace.accounts import access
from marketplace.accounts.models import ApiKey, Organization, Team
from marketplace.core.errors import NotFound
from tests.conftest import Cast


class TestGet:
    @pytest.mark.parametrize("key", ["no-uuid", "", "\x00", "0" * 400, UUID(int=0), 7, None, [], {}])
    def test_does_not_find_by_what_is_no_uuid(self, db: None, key: object) -> None:
        with pytest.raises(NotFound):
            access.get(ApiKey.objects.all(), pk=key)

    @pytest.mark.parametrize("key", ["no-number", "", "\x00", "9" * 40, 2**70, None, [], {}])
    def test_does_not_find_by_what_is_no_number(self, db: None, key: object) -> None:
        with pytest.raises(NotFound):
            access.get(Team.objects.all(), pk=key)

    @pytest.mark.parametrize("key", ["nobody", "\x00", "x" * 5000])
    def test_does_not_find_by_what_is_no_name(self, db: None, key: object) -> None:
        with pytest.raises(NotFound):
            access.get(Organization.objects.all(), slug=key)

    def test_finds_what_is_there(self, cast: Cast) -> None:
        assert access.get(Team.objects.all(), pk=str(cast.creator_team.pk)) == cast.creator_team
