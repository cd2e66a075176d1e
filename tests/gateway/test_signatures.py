"""Signatures: one literal made with another tool, and all the ways not to match."""

from datetime import UTC, datetime, timedelta

import pytest

from marketplace.gateway.signatures import sign, verify_signature

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
BODY = b'{"input":{}}'


class TestSign:
    def test_signs_time_and_body(self):
        # printf '1793610000.{"input":{}}' | openssl dgst -sha256 -hmac secret
        assert (
            sign(BODY, secret=b"secret", at=AT)
            == "t=1793610000,v1=473ea31bb774b18b539a324fc0732a13cd6900db8d293da04bc7a5fc183a7130"
        )


class TestVerifySignature:
    def test_accepts_what_was_signed(self):
        header = sign(BODY, secret=b"secret", at=AT)

        assert verify_signature(header, body=BODY, secret=b"secret", at=AT + timedelta(minutes=4))

    @pytest.mark.parametrize(
        ("body", "secret", "at"),
        [
            (b"{}", b"secret", AT),
            (BODY, b"other", AT),
            (BODY, b"secret", AT + timedelta(minutes=6)),
            (BODY, b"secret", AT - timedelta(minutes=6)),
        ],
    )
    def test_refuses_another_body_key_or_time(self, body, secret, at):
        assert not verify_signature(sign(BODY, secret=b"secret", at=AT), body=body, secret=secret, at=at)

    @pytest.mark.parametrize(
        "header", ["", "t=1", "v1=00", "t=1793610000,v1=zz", "t=99999999999999,v1=" + "0" * 64]
    )
    def test_refuses_what_is_not_a_signature(self, header):
        assert not verify_signature(header, body=BODY, secret=b"secret", at=AT)
