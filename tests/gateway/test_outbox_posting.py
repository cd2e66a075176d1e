"""Messages over the wire: what is read of an answer, and where nothing may go."""

import pytest

from marketplace.gateway.outbox.posting import Outcome, Outgoing, post
from tests.factories import NOW
from tests.gateway.receiving import Answer, server


def send(url: str, *, allowed: list[str]) -> Outcome:
    (outcome,) = post([Outgoing(url, b"{}", {"webhook-id": "one"})], allowed=allowed, at=NOW)
    return outcome


class TestPost:
    def test_brings_the_message_and_what_was_answered(self) -> None:
        with server(Answer(body=b"thank\x00 you\xe2\x80\xae" + b"x" * 5000)) as (host, came):
            outcome = send(f"http://{host}/hook", allowed=[host])

        assert came[0]["webhook-id"] == "one"
        assert (outcome.is_delivered, outcome.http_status) == (True, 200)
        assert outcome.excerpt.startswith("thank  you x")
        assert len(outcome.excerpt) == 500

    def test_reads_how_long_to_wait(self) -> None:
        with server(Answer(429, headers={"Retry-After": "77"})) as (host, _):
            outcome = send(f"http://{host}/hook", allowed=[host])

        assert (outcome.trouble, outcome.retry_after_s) == ("answered 429", 77)

    def test_follows_no_redirect(self) -> None:
        with server(Answer(302, headers={"Location": "http://169.254.169.254/latest/"})) as (host, came):
            outcome = send(f"http://{host}/hook", allowed=[host])

        assert outcome.trouble == "answered 302, a redirect, which is not followed"
        assert len(came) == 1

    @pytest.mark.parametrize(
        ("url", "trouble"),
        [
            ("https://127.0.0.1/hook", "is not called: it leads back to this machine"),
            (
                "https://169.254.169.254/x",
                "is not called: it leads to the services of the machine it runs on",
            ),
            ("https://10.1.2.3/x", "is not called: it leads into a private network"),
            ("http://example.com/x", "is not called: it must start with https://"),
            ("https://chat.internal/x", "is not called: it is a name of a private network"),
        ],
    )
    def test_goes_to_no_private_address(self, url: str, trouble: str) -> None:
        assert send(url, allowed=[]).trouble == trouble

    def test_judges_the_address_that_a_name_has_at_the_moment_of_connecting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that was public when it was saved leads into the network now."""

        async def resolve(*_: object, **__: object) -> list[dict[str, object]]:
            return [{"hostname": "hooks.example.com", "host": "10.0.0.8", "port": 443, "family": 2, "proto": 0, "flags": 0}]  # fmt: skip

        monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)

        assert send("https://hooks.example.com/x", allowed=[]).trouble == (
            "is not called: it leads into a private network"
        )

    def test_says_when_nobody_is_there(self) -> None:
        with server(Answer()) as (host, _):
            pass

        assert send(f"http://{host}/hook", allowed=[host]).trouble == "could not be reached"

    def test_shows_no_address_that_may_be_a_secret(self) -> None:
        with server(Answer(404, b"nothing at /services/T0P/SECRET")) as (host, _):
            one = Outgoing(f"http://{host}/services/T0P/SECRET", b"{}", {})
            (outcome,) = post([one], allowed=[host], at=NOW)

        assert outcome.excerpt == "nothing at …"
        assert "SECRET" not in repr(one) + repr(outcome)

    def test_lets_one_that_fails_hold_up_no_other(self) -> None:
        with server(Answer()) as (host, came):
            urls = [f"http://{host}/hook", "https://10.1.2.3/x", f"http://{host}/hook"]
            found = post([Outgoing(url, b"{}", {}) for url in urls], allowed=[host], at=NOW)

        assert [one.is_delivered for one in found] == [True, False, True]
        assert len(came) == 2
