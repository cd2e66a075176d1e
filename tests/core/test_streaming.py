import asyncio
from collections.abc import Iterator

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from marketplace.core import streaming
from marketplace.core.errors import InvalidInput
from marketplace.core.streaming import stream_file

WHOLE = "".join(f"line {number}\n" for number in range(7))


@pytest.fixture(autouse=True)
def _few_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PARTS_AT_ONCE", 2)


class Lines:
    """Seven lines; counts how many were asked for."""

    def __init__(self) -> None:
        self.made = 0

    def __iter__(self) -> Iterator[str]:
        for number in range(7):
            self.made += 1
            yield f"line {number}\n"


def answer(request: object, lines: Iterator[str]) -> StreamingHttpResponse:
    return stream_file(request, lines, name="lines.txt", content_type="text/plain")  # type: ignore[arg-type]


class TestStreamFile:
    def test_writes_while_it_sends(self) -> None:
        lines = Lines()

        response = answer(RequestFactory().get("/"), iter(lines))

        assert lines.made == 2
        assert b"".join(response).decode() == WHOLE
        assert response["Content-Disposition"] == 'attachment; filename="lines.txt"'

    def test_does_so_for_servers_that_are_asynchronous(self) -> None:
        lines = Lines()
        request = AsyncRequestFactory().get("/")
        assert isinstance(request, ASGIRequest)

        async def read() -> tuple[int, bytes]:
            response = answer(request, iter(lines))
            made = lines.made
            return made, b"".join([part async for part in response])

        assert asyncio.run(read()) == (2, WHOLE.encode())

    def test_may_be_empty(self) -> None:
        assert b"".join(answer(RequestFactory().get("/"), iter(()))) == b""

    def test_raises_what_is_wrong_before_it_answers(self) -> None:
        def refused() -> Iterator[str]:
            raise InvalidInput("to", "is too far")
            yield ""

        with pytest.raises(InvalidInput):
            answer(RequestFactory().get("/"), refused())
