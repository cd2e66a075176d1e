"""Wait for what other threads and processes do."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until something is so; fails when it does not become so in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"it did not happen in {timeout_s} seconds"
        time.sleep(0.01)
