"""Small apps that tests start as processes of their own: ``python -m tests.sdk.app WHAT URL SPOOL [KEY]``."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

from marketplace.sdk import Meter


def make(url: str, spool: str, *, durable: bool = False, flush_interval_s: float = 0.01) -> Meter:
    key = sys.argv[4] if len(sys.argv) > 4 else "hp_app_test"
    return Meter(url, key, "where2eat", spool_dir=spool, durable=durable, flush_interval_s=flush_interval_s)


def say(ids: list[str]) -> None:
    """Print ids in pieces that a pipe takes whole, so that processes do not talk into each other's lines."""
    for start in range(0, len(ids), 100):
        os.write(1, "".join(f"{each}\n" for each in ids[start : start + 100]).encode())


def killed(url: str, spool: str) -> None:
    """Say each durably recorded id, from four threads, until killed."""
    meter = make(url, spool, durable=True)

    def work() -> None:
        while True:
            say([meter.record(tokens=1, model="llm-8b")])

    for _ in range(4):
        threading.Thread(target=work).start()


def suicidal(url: str, spool: str) -> None:
    """Record less than a batch, see it in the file, and be killed before it is sent."""
    meter = make(url, spool, flush_interval_s=600)
    ids = [meter.record(tokens=1, model="llm-8b") for _ in range(400)]
    meter._recorder.writer.barrier().wait(20)
    say(ids)
    os.kill(os.getpid(), signal.SIGKILL)


def leaving(url: str, spool: str) -> None:
    """Record and end, without any farewell."""
    meter = make(url, spool, flush_interval_s=600)
    say([meter.record(tokens=1, model="llm-8b") for _ in range(100)])


def failing(url: str, spool: str) -> None:
    """Record and die of an exception."""
    leaving(url, spool)
    raise SystemExit("mine")


def forking(url: str, spool: str) -> None:
    """Record before and after a fork, in parent and children, with threads under way."""
    meter = make(url, spool)
    ids = [meter.record(tokens=1, model="llm-8b") for _ in range(100)]
    say(ids)
    children = [pid for _ in range(3) if (pid := _child(meter))]
    say([meter.record(tokens=2, model="llm-8b") for _ in range(100)])
    for child in children:
        os.waitpid(child, 0)


def _child(meter: Meter) -> int:
    pid = os.fork()
    if pid == 0:
        ids = [meter.record(tokens=3, model="llm-8b") for _ in range(100)]
        say(ids)
        sys.exit(0 if meter.flush() else 1)
    return pid


def multiprocess(url: str, spool: str) -> None:
    """Record in children of multiprocessing, which end without `atexit`."""
    meter = make(url, spool, flush_interval_s=600)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_record_some, args=(meter,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def _record_some(meter: Meter) -> None:
    ids = [meter.record(tokens=1, model="llm-8b") for _ in range(50)]
    say(ids)


def orphaning(url: str, spool: str) -> None:
    """Record, fork a child that lives on, and be killed: the child's copy of our files must not keep them."""
    meter = make(url, spool, flush_interval_s=600)
    say([meter.record(tokens=1, model="llm-8b")])
    meter._recorder.writer.barrier().wait(20)
    if os.fork() == 0:
        os.write(1, b"child\n")
        sys.stdin.read()
        os._exit(0)
    signal.pause()


APPS: dict[str, Callable[[str, str], None]] = {
    app.__name__: app for app in (killed, suicidal, leaving, failing, forking, multiprocess, orphaning)
}

if __name__ == "__main__":
    APPS[sys.argv[1]](*sys.argv[2:4])
