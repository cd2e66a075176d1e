from datetime import timedelta

import pytest

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from tests.conftest import Cast
from tests.factories import NOW


def issue(cast: Cast, **fields):
    return keys.issue(
        kind="pat", organization=cast.company, user=cast.finance, by=cast.finance, at=NOW, **fields
    )


class TestIssue:
    def test_keeps_only_the_hash_of_the_secret(self, cast: Cast) -> None:
        key, text = issue(cast)

        secret = text.split("_")[3]
        stored = ApiKey.objects.get(pk=key.pk)
        assert text == f"hp_pat_{key.prefix}_{secret}"
        assert bytes(stored.secret_hash) == keys.hash_secret(secret)
        assert secret not in str(stored.__dict__)


class TestAuthenticate:
    def test_accepts_the_key_it_issued(self, cast: Cast) -> None:
        key, text = issue(cast)

        assert keys.authenticate(text, at=NOW).pk == key.pk

    @pytest.mark.parametrize(
        "text", ["", "hp", "hp_pat_x", "hp_pat__x", "sk-123", "hp_pat_a_b_c", "hp_xxx_a_b"]
    )
    def test_refuses_malformed_keys(self, cast: Cast, text: str) -> None:
        with pytest.raises(keys.BadKey):
            keys.authenticate(text, at=NOW)

    def test_refuses_a_right_prefix_with_a_wrong_secret(self, cast: Cast) -> None:
        _, text = issue(cast)

        with pytest.raises(keys.BadKey):
            keys.authenticate(text[:-1] + ("x" if text[-1] != "x" else "y"), at=NOW)

    def test_refuses_expired_and_revoked_keys(self, cast: Cast) -> None:
        key, text = issue(cast, expires_at=NOW + timedelta(days=1))

        with pytest.raises(keys.BadKey):
            keys.authenticate(text, at=NOW + timedelta(days=1))
        assert keys.revoke(key, at=NOW, by=cast.finance)
        with pytest.raises(keys.BadKey):
            keys.authenticate(text, at=NOW)
        assert not keys.revoke(key, at=NOW, by=cast.finance)


class TestTouch:
    def test_notes_use_to_the_minute(self, cast: Cast) -> None:
        key, _ = issue(cast)

        for at in (NOW, NOW + timedelta(seconds=59), NOW - timedelta(hours=1)):
            keys.touch(key.pk, at=at)
        key.refresh_from_db()
        assert key.last_used_at == NOW

        keys.touch(key.pk, at=NOW + timedelta(seconds=61))
        key.refresh_from_db()
        assert key.last_used_at == NOW + timedelta(seconds=61)
