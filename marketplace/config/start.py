"""One start of Halfpenny: check, servers, database, programs, then watch over them until the end."""

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import psutil

from marketplace.config import freshness, launch, logs, paths, preflight, running
from marketplace.config.launch import Options
from marketplace.config.readiness import is_alive, is_ready, why_not_ready
from marketplace.config.refusals import Refused
from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import Liveness, Server, Stopped, Supervisor, end_orphans

READY_TIMEOUT_S = 120
TOO_MANY_DEATHS = 4
LOG_CHECK_S = 60
EMPTY_BYTES = 2**30
# The demo world takes one of them.
DEMO_BYTES = 2 * 2**30
# name, launcher, and the variable that names a server from outside instead
SERVERS = (("PostgreSQL", postgres, "DATABASE_URL"), ("Valkey", valkey, "REDIS_URL"))


class Start:
    """The supervisor of one data folder, from the checks to the end of the last process."""

    def __init__(self, options: Options, data: Path) -> None:
        self.options = options
        self.data = data
        self.is_ready = False
        self.supervisor = Supervisor(announce=say, changed=self.write_state)
        self.environment = launch.environment(options, data)
        self.database_url = os.environ.get("DATABASE_URL") or paths.postgres_url(data)

    def run(self) -> int:
        """Start, watch, stop; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever started it with nohup wants it to go on after the terminal is closed.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.supervisor.request_stop)
        self.write_state()
        try:
            self._check()
            say("Halfpenny is starting")
            self._start_servers()
            self._prepare()
            self._start_programs()
            self._greet()
            self._watch()
        except Stopped:
            say("Stopping")
        finally:
            self.supervisor.stop()
            # Replicas of pools outlive the worker that started them; they end with everything else.
            end_orphans(self.data)
            if self.supervisor.watched:
                say("Halfpenny is stopped.")
        return 0

    def write_state(self) -> None:
        """Tell the other commands what runs."""
        watched = {each.part.name: each for each in self.supervisor.watched}
        processes = {name: each.part.process() for name, each in watched.items()}
        running.write(
            self.data,
            running.Running(
                pid=os.getpid(),
                address=self.options.address,
                is_ready=self.is_ready,
                pids={name: process.pid for name, process in processes.items() if process},
                since={name: each.since for name, each in watched.items()},
                restarts={name: each.deaths for name, each in watched.items()},
                environment=launch.shared_environment(self.options),
            ),
        )

    def _check(self) -> None:
        preflight.require_free_space(
            self.data, least_bytes=EMPTY_BYTES if self.options.is_empty else DEMO_BYTES
        )
        if orphans := end_orphans(self.data):
            say(f"Ended {orphans} processes that an earlier, killed start had left behind.")
        preflight.require_free_port(self.options.host, self.options.port, option="--port")
        if self.options.has_provider:
            preflight.require_free_port("127.0.0.1", self.options.provider_port, option="--provider-port")
        if url := os.environ.get("DATABASE_URL"):
            preflight.require_database(url)
        if url := os.environ.get("REDIS_URL"):
            preflight.require_broker(url)
        in_use = {server.log_file(self.data).name for _, server, _ in SERVERS if server.is_running(self.data)}
        logs.rotate(paths.logs_dir(self.data), besides=frozenset({*in_use, "up.log"}))

    def _start_servers(self) -> None:
        began = time.monotonic()
        started = []
        for name, server, variable in SERVERS:
            if not os.environ.get(variable):
                parts = (partial(act, self.data) for act in (server.start, server.find_process, server.stop))
                self.supervisor.start(Server(name.lower(), *parts))
                started.append(name)
        report(" and ".join(started) or "Servers from outside", began)

    def _prepare(self) -> None:
        """Migrate, collect static files and load the demo world, each only if something is missing."""
        began = time.monotonic()
        wants_demo = not self.options.is_empty
        provider_url = self.environment["HALFPENNY_DEMO_PROVIDER_URL"]
        if freshness.is_current(
            self.data, self.database_url, provider_url=provider_url, needs_organization=wants_demo
        ):
            report("Database is up to date", began)
            return
        answer = self.data / ".preparation.json"
        self._require(
            "The database could not be prepared", "-m", "marketplace.config.preparation", str(answer)
        )
        found = json.loads(answer.read_text())
        applied = found["migrations"]
        report(f"Database: {applied} migrations applied" if applied else "Database is up to date", began)
        if wants_demo and found["is_empty"]:
            self._require(
                "The demo world could not be loaded", str(paths.CHECKOUT / "manage.py"), "load_demo"
            )
        freshness.remember(self.data, self.database_url, provider_url=provider_url)

    def _require(self, complaint: str, *arguments: str) -> None:
        if self.supervisor.run_to_end([sys.executable, *arguments], environment=self.environment):
            raise Refused(f"{complaint}; the lines above say why.")

    def _start_programs(self) -> None:
        began = time.monotonic()
        programs = launch.programs(self.options, self.data)
        for name, program in programs.items():
            # Stopped first, so that nobody comes in any more while the work that is under way ends.
            alive = Liveness(partial(is_alive, self.options.address)) if name == "web" else None
            self.supervisor.start(program, stops_first=name == "web", liveness=alive)
        self._await_readiness()
        self.write_state()
        report(", ".join(programs), began)

    def _await_readiness(self) -> None:
        answers = self.supervisor.wait(
            lambda: self._refuse_hopeless() or is_ready(self.options.address), timeout_s=READY_TIMEOUT_S
        )
        if not answers:
            reason = why_not_ready(self.options.address)
            raise Refused(
                f"It did not get ready within {READY_TIMEOUT_S} s. {reason}\n"
                f"The logs in {paths.logs_dir(self.data)} may say more."
            )
        self.is_ready = True

    def _refuse_hopeless(self) -> bool:
        for watched in self.supervisor.watched:
            if watched.deaths >= TOO_MANY_DEATHS:
                log = paths.logs_dir(self.data) / f"{watched.part.name}.log"
                raise Refused(f"{watched.part.name} does not start; the end of {log}:\n{logs.tail(log)}")
        return False

    def _greet(self) -> None:
        # The process began as the bare python that looked for the packages.
        took_s = time.time() - psutil.Process().create_time()
        say(f"\nOpen {self.options.address}   (ready after {took_s:.1f} s)")
        if not self.options.is_local:
            say("Everybody who reaches this machine can open it, and sign in to the demo world.")
        if not freshness.has_organization(self.database_url):
            say(f"Nobody can sign in yet: {self._founding_command()} makes the first organization.")
        say(f"Stop it with Ctrl-C or `python3 manage.py down`. Data and logs: {self.data}")

    def _founding_command(self) -> str:
        where = f" --data {self.data}" if os.environ.get("HALFPENNY_DATA") else ""
        asked = "--name 'Your company' --admin-email you@example.com"
        return f"`python3 manage.py create_organization {asked}{where}`"

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
