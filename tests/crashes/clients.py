"""Clients that report and call while the ground shakes, and keep a book of what they sent and what they were told."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from tests.crashes.installation import until

BATCH = 20
MESSAGE = "Summarize: The quick brown fox jumps over the lazy dog. [[demo:slow:150]]"


@dataclass
class Book:
    """What all clients together sent and were told. Guarded by ``lock``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    answered_calls: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)


class Clients:
    """Threads that go on until they are stopped."""

    def __init__(self, url: str, *, sub_key: str, app_key: str) -> None:
        self.url = url
        self.sub_key = sub_key
        self.app_key = app_key
        self.book = Book()
        self._stop = threading.Event()
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=urllib3.Timeout(30))
        self._threads = [
            *(threading.Thread(target=self._report, args=(f"stubborn-{n}", True)) for n in range(3)),
            *(threading.Thread(target=self._report, args=(f"once-{n}", False)) for n in range(2)),
            *(threading.Thread(target=self._call, args=(is_stream,)) for is_stream in (False, False, True)),
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send while the block runs; afterwards wait for what the stubborn ones have not got through yet."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in self._threads)

    def await_progress(self) -> None:
        """Wait until reports are acknowledged and calls answered that began after now, more or less."""
        with self.book.lock:
            events, calls = len(self.book.acknowledged), len(self.book.answered_calls)
        until(
            lambda: (
                len(self.book.acknowledged) >= events + 10 * BATCH
                and len(self.book.answered_calls) >= calls + 6
            ),
            f"events and calls go on; so far {self.book.statuses}",
        )

    def _report(self, name: str, is_stubborn: bool) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            ids = [f"{name}-{number}-{place}" for place in range(BATCH)]
            with self.book.lock:
                self.book.sent.update(ids)
            deadline = time.monotonic() + 60
            while not self._report_once(ids) and is_stubborn and time.monotonic() < deadline:
                time.sleep(0.1)

    def _report_once(self, ids: list[str]) -> bool:
        events = [{"id": each, "app_id": "where2eat", "model": "llm-8b", "tokens": 100} for each in ids]
        answer = self._post("/meter", events, key=self.app_key)
        if answer is None or answer.status != 200:
            time.sleep(0.05)
            return False
        told = answer.json()
        with self.book.lock:
            self.book.acknowledged.update(ids)
            if told["accepted"] + told["duplicates"] != len(ids):
                self.book.surprises.append(f"{told}")
        return True

    def _call(self, is_stream: bool) -> None:
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": MESSAGE}],
            "max_tokens": 40,
            "stream": is_stream,
        }
        while not self._stop.is_set():
            answer = self._post("/v1/chat/completions", body, key=self.sub_key)
            if answer is None or answer.status != 200:
                time.sleep(0.05)
            elif not is_stream or answer.data.endswith(b"data: [DONE]\n\n"):
                with self.book.lock:
                    self.book.answered_calls.add(answer.headers["x-request-id"])

    def _post(self, path: str, body: Any, *, key: str) -> urllib3.BaseHTTPResponse | None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            answer = self._pool.request(
                "POST", self.url + path, body=json.dumps(body).encode(), headers=headers
            )
        except (HTTPError, OSError) as error:
            with self.book.lock:
                self.book.statuses[f"{path} {type(error).__name__}"] += 1
            return None
        with self.book.lock:
            self.book.statuses[f"{path} {answer.status}"] += 1
            if answer.status not in (200, 502, 503):
                self.book.surprises.append(f"{path} {answer.status} {answer.data[:300]!r}")
        return answer
