"""`manage.py up`: check, start the servers, prepare the database, start the programs, watch over all until
the end."""

import argparse
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from marketplace.config import freshness, logs, paths, preflight, running
from marketplace.config.refusals import Refused
from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import MARK, Program, Server, Stopped, Supervisor, end_orphans

READY_TIMEOUT_S = 120
STARTING_TIMEOUT_S = 600
DRAIN_S = 20
TOO_MANY_DEATHS = 4
LOG_CHECK_S = 60
ANY_HOST = ("0.0.0.0", "::", "")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    host: str
    port: int
    provider_port: int
    workers: int
    is_empty: bool
    is_detached: bool

    @property
    def address(self) -> str:
        """Return the address that a browser on this machine opens."""
        host = "127.0.0.1" if self.host in ANY_HOST else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def main(arguments: list[str]) -> int:
    """Start Halfpenny and stay until it is stopped; with --detach, until it is ready."""
    options = parse(arguments)
    data = paths.data_dir()
    preflight.require_writable(data)
    if running.is_held(data):
        return _tell_where_it_runs(data, options)
    if options.is_detached:
        return _detach(data, arguments)
    try:
        with running.hold(data):
            return Start(options, data).run()
    except running.AlreadyHeld:
        return _tell_where_it_runs(data, options)


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="manage.py up", description="Start everything and print the address."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the web server (default 8000)")
    parser.add_argument(
        "--provider-port", type=int, help="port of the demo model provider (default: the next one)"
    )
    parser.add_argument("--workers", type=int, default=2, help="web processes (default 2)")
    parser.add_argument("--empty", action="store_true", help="no demo world and no demo model provider")
    parser.add_argument(
        "--detach", action="store_true", help="return as soon as it is ready, leave it running"
    )
    found = parser.parse_args(arguments)
    return Options(
        host=found.host,
        port=found.port,
        provider_port=found.provider_port or found.port + 1,
        workers=max(found.workers, 1),
        is_empty=found.empty,
        is_detached=found.detach,
    )


class Start:
    """One start: from the checks to the end of the last process."""

    def __init__(self, options: Options, data: Path) -> None:
        self.options = options
        self.data = data
        self.started = time.monotonic()
        self.is_ready = False
        self.supervisor = Supervisor(announce=say, changed=self.write_state)
        self.defaults = self._defaults()
        self.environment = {**self._from_outside(), MARK: str(data)}

    def run(self) -> int:
        """Start, watch, stop; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.supervisor.request_stop)
        self.write_state()
        try:
            self._check()
            say("Halfpenny is starting")
            self._start_servers()
            self._prepare()
            self._start_programs()
            self._await_readiness()
            self._greet()
            self._watch()
        except Stopped:
            say("Stopping")
            return 0
        finally:
            self.supervisor.stop()
            if self.supervisor.watched:
                say("Halfpenny is stopped.")
        return 0

    def write_state(self) -> None:
        """Tell the other commands what runs."""
        living = {watched.part.name: watched.part.process() for watched in self.supervisor.watched}
        running.write(
            self.data,
            running.Running(
                pid=os.getpid(),
                address=self.options.address,
                is_ready=self.is_ready,
                pids={name: process.pid for name, process in living.items() if process},
                since={watched.part.name: watched.since for watched in self.supervisor.watched},
                restarts={watched.part.name: watched.deaths for watched in self.supervisor.watched},
                environment={name: self.environment[name] for name in self.defaults if name != "SECRET_KEY"},
            ),
        )

    def _defaults(self) -> dict[str, str]:
        """Return the environment of everything started here, as far as nobody said otherwise from outside."""
        provider = f"http://127.0.0.1:{self.options.provider_port}"
        return {
            "HALFPENNY_DEMO_PROVIDER_URL": provider,
            "HALFPENNY_PUBLIC_URL": self.options.address,
            "HALFPENNY_HASHED_STATIC": "1",
            "ALLOWED_HOSTS": ",".join(_allowed_hosts(self.options.host)),
            "SECRET_KEY": paths.secret_key(self.data),
            **({"DEMO": "0"} if self.options.is_empty else {}),
        }

    def _from_outside(self) -> dict[str, str]:
        return {
            **self.defaults,
            **os.environ,
            "HALFPENNY_DATA": str(self.data),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "marketplace.config.settings",
        }

    @property
    def _has_provider(self) -> bool:
        return not self.options.is_empty and self.environment.get("DEMO", "1").lower() not in (
            "0",
            "false",
            "no",
        )

    def _check(self) -> None:
        preflight.require_free_space(self.data)
        if orphans := end_orphans(self.data):
            say(f"  ended {orphans} processes of an earlier start that was killed")
        preflight.require_free_port(self.options.host, self.options.port, option="--port")
        if self._has_provider:
            preflight.require_free_port("127.0.0.1", self.options.provider_port, option="--provider-port")
        if url := os.environ.get("DATABASE_URL"):
            preflight.require_database(url)
        if url := os.environ.get("REDIS_URL"):
            preflight.require_broker(url)
        in_use = [log for log, server in _SERVER_LOGS.items() if server.is_running(self.data)]
        logs.rotate(paths.logs_dir(self.data), besides=frozenset({*in_use, "up.log"}))

    def _start_servers(self) -> None:
        began = time.monotonic()
        started = []
        for name, module, variable in (
            ("PostgreSQL", postgres, "DATABASE_URL"),
            ("Valkey", valkey, "REDIS_URL"),
        ):
            if variable in os.environ:
                continue
            launch, find, end = (
                functools.partial(f, self.data) for f in (module.start, module.find_process, module.stop)
            )
            self.supervisor.start(Server(name.lower(), launch, find, end))
            started.append(name)
        report(" and ".join(started) or "Servers from outside", began)

    def _prepare(self) -> None:
        """Migrate, collect static files and load the demo world, each only if something is missing."""
        began = time.monotonic()
        url = os.environ.get("DATABASE_URL") or paths.postgres_url(self.data)
        if freshness.is_current(self.data, url, needs_organization=not self.options.is_empty):
            report("Database is up to date", began)
            return
        answer = self.data / ".preparation.json"
        self._require(
            ["-m", "marketplace.config.preparation", str(answer)], "The database could not be prepared"
        )
        found = json.loads(answer.read_text())
        applied = found["migrations"]
        report(f"Database: {applied} migrations applied" if applied else "Database is up to date", began)
        if found["is_empty"] and not self.options.is_empty:
            self._require(
                [str(paths.CHECKOUT / "manage.py"), "load_demo"], "The demo world could not be loaded"
            )
        freshness.remember(self.data, url)

    def _require(self, arguments: list[str], complaint: str) -> None:
        if self.supervisor.run_to_end([sys.executable, *arguments], environment=self.environment):
            raise Refused(f"{complaint}; the lines above say why.")

    def _start_programs(self) -> None:
        for name, arguments in self._programs().items():
            log = paths.logs_dir(self.data) / f"{name}.log"
            command = [sys.executable, *arguments]
            self.supervisor.start(Program(name, command, self.environment, log, drain_s=DRAIN_S))

    def _programs(self) -> dict[str, list[str]]:
        """Return the arguments of each program's python; they are stopped in the reverse of this order."""
        celery = ["-m", "celery", "-A", "marketplace.config.celery"]
        provider = ["-m", "marketplace.gateway.demo_provider", "--port", str(self.options.provider_port)]
        web = [
            "-m",
            "uvicorn",
            "marketplace.config.asgi:application",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
        ]
        web += [
            "--host",
            self.options.host,
            "--port",
            str(self.options.port),
            "--workers",
            str(self.options.workers),
        ]
        # A worker that is busy for some seconds is not a dead one.
        web += ["--timeout-worker-healthcheck", "30", "--timeout-graceful-shutdown", str(DRAIN_S - 2)]
        web += ["--no-access-log", "--no-server-header", "--log-level", "warning"]
        return {
            **({"provider": provider} if self._has_provider else {}),
            # Never as a thread of the worker: a killed worker would leave it behind, and then there are two.
            "beat": [*celery, "beat", "--schedule", str(paths.beat_schedule(self.data)), "--pidfile", ""],
            "worker": [*celery, "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO",
                       "--without-gossip", "--without-mingle"],
            "web": web,
        }  # fmt: skip

    def _await_readiness(self) -> None:
        began = time.monotonic()
        if not self.supervisor.wait(
            lambda: self._give_up() or is_ready(self.options.address), timeout_s=READY_TIMEOUT_S
        ):
            raise Refused(
                f"It is not ready after {READY_TIMEOUT_S} s; see the logs in {paths.logs_dir(self.data)}."
            )
        self.is_ready = True
        self.write_state()
        report(", ".join(sorted(self._programs(), reverse=True)), began)

    def _give_up(self) -> bool:
        for watched in self.supervisor.watched:
            if watched.deaths >= TOO_MANY_DEATHS:
                log = paths.logs_dir(self.data) / f"{watched.part.name}.log"
                raise Refused(f"{watched.part.name} does not start; the end of {log}:\n{tail(log)}")
        return False

    def _greet(self) -> None:
        say(f"\nOpen {self.options.address}   (ready after {time.monotonic() - self.started:.1f} s)")
        if self.options.host not in LOOPBACK:
            say("Everybody who reaches this machine can open it, and sign in to the demo world.")
        say(f"Stop it with Ctrl-C or `python3 manage.py down`. Data and logs: {self.data}")

    def _watch(self) -> None:
        while True:
            self.supervisor.wait(lambda: False, timeout_s=LOG_CHECK_S)
            logs.cut(paths.logs_dir(self.data))


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def report(what: str, began: float) -> None:
    """Print what was done and how long it took."""
    say(f"  {what:<40} {time.monotonic() - began:5.1f} s")


def is_ready(address: str) -> bool:
    """Ask /readyz."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
    try:
        connection.request(
            "GET", "/readyz", headers={"Host": os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0]}
        )
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    except FileNotFoundError:
        return "(empty)"


def _allowed_hosts(host: str) -> list[str]:
    """Return the names under which a browser may ask for this address."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if host in ANY_HOST:
        addresses = [
            entry.address.split("%")[0] for found in psutil.net_if_addrs().values() for entry in found
        ]
        names += [socket.gethostname(), *(address for address in addresses if address.count(".") == 3)]
    elif host not in LOOPBACK:
        names.append(host)
    return list(dict.fromkeys(names))


def _tell_where_it_runs(data: Path, options: Options) -> int:
    """Say where the Halfpenny of this data folder runs, waiting for one that is just starting."""
    deadline = time.monotonic() + STARTING_TIMEOUT_S
    while time.monotonic() < deadline and running.is_held(data):
        found = running.describe(data)
        if found and found.is_ready:
            say(f"Halfpenny runs already at {found.address}. Stop it with `python3 manage.py down`.")
            return 0 if found.address == options.address else 1
        time.sleep(0.2)
    say("Another start of Halfpenny was under way and did not succeed: try again.")
    return 1


def _detach(data: Path, arguments: list[str]) -> int:
    """Start a supervisor that outlives this command, show what it prints until it is ready, and return its
    result."""
    log = paths.logs_dir(data) / "up.log"
    logs.rotate(log.parent, besides=frozenset(found.name for found in log.parent.glob("*.log")) - {log.name})
    command = [
        sys.executable,
        str(paths.CHECKOUT / "manage.py"),
        "up",
        *(a for a in arguments if a != "--detach"),
    ]
    with open(log, "ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    with open(log, errors="replace") as lines:
        while child.poll() is None:
            print(lines.read(), end="", flush=True)
            found = running.describe(data)
            if found and found.is_ready and found.pid == child.pid:
                break
            time.sleep(0.1)
        time.sleep(0.1)
        print(lines.read(), end="", flush=True)
    return child.poll() or 0


_SERVER_LOGS = {"postgres.log": postgres, "valkey.log": valkey}
