"""What `up` starts: the options, the programs with their arguments, and the environment they run in."""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from marketplace.config import paths
from marketplace.config.supervisor import MARK, Program

DRAIN_S = 20
# On a small machine, people and calls go before work that nobody waits for.
BACKGROUND_NICENESS = 5
ANY_HOST = ("0.0.0.0", "::", "")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FALSE = ("0", "false", "f", "no", "n", "off")


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    host: str
    port: int
    provider_port: int
    workers: int
    is_empty: bool
    is_detached: bool
    is_debug: bool = False

    @property
    def address(self) -> str:
        """Return the address that a browser on this machine opens."""
        host = "127.0.0.1" if self.host in ANY_HOST else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Say whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def has_provider(self) -> bool:
        """Say whether the demo model provider is started."""
        return not self.is_empty and os.environ.get("DEMO", "1").lower() not in FALSE


def shared_environment(options: Options) -> dict[str, str]:
    """Return what the started programs are told, and later commands too, unless the environment says it."""
    told = {
        "HALFPENNY_DEMO_PROVIDER_URL": f"http://127.0.0.1:{options.provider_port}",
        "HALFPENNY_PUBLIC_URL": options.address,
        # Whoever works on pages wants to see a changed file at once, and the stack of what broke.
        "DEBUG": "1" if options.is_debug else "0",
        "HALFPENNY_HASHED_STATIC": "0" if options.is_debug else "1",
        "ALLOWED_HOSTS": ",".join(_allowed_hosts(options.host)),
        "DEMO": "0" if options.is_empty else "1",
    }
    told = {name: os.environ.get(name, value) for name, value in told.items()}
    # Over plain http a browser would never send them back, and nobody could sign in.
    cookies = {"SECURE_COOKIES": "0" if told["HALFPENNY_PUBLIC_URL"].startswith("http://") else "1"}
    return told | {name: os.environ.get(name, value) for name, value in cookies.items()}


def environment(options: Options, data: Path) -> dict[str, str]:
    """Return the whole environment of the started programs."""
    return {
        # Its own for each installation; the one in the settings is known to everybody.
        "SECRET_KEY": paths.secret_key(data),
        **os.environ,
        **shared_environment(options),
        "HALFPENNY_DATA": str(data),
        "DJANGO_SETTINGS_MODULE": "marketplace.config.settings",
        "PYTHONUNBUFFERED": "1",
        MARK: str(data),
    }


def programs(options: Options, data: Path) -> dict[str, Program]:
    """Return the programs by name."""
    arguments = {"web": _web(options), "background": ["marketplace.config.background"]}
    if options.has_provider:
        arguments["provider"] = _provider(options)
    return {
        name: Program(
            name,
            [sys.executable, "-m", *own],
            environment(options, data),
            paths.logs_dir(data) / f"{name}.log",
            drain_s=DRAIN_S,
            niceness=BACKGROUND_NICENESS if name == "background" else 0,
        )
        for name, own in arguments.items()
    }


def _web(options: Options) -> list[str]:
    chosen = {
        "--host": options.host,
        "--port": options.port,
        "--workers": options.workers,
        "--drain": DRAIN_S - 2,
    }
    return ["marketplace.config.web", *(str(part) for pair in chosen.items() for part in pair)]


def _provider(options: Options) -> list[str]:
    return ["marketplace.gateway.demo_provider", "--port", str(options.provider_port)]


def _allowed_hosts(host: str) -> list[str]:
    """Return the names under which a browser may ask for this address."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if host in ANY_HOST:
        found = [entry for entries in psutil.net_if_addrs().values() for entry in entries]
        names += [entry.address for entry in found if entry.family == socket.AF_INET]
        names.append(socket.gethostname())
    elif host not in LOOPBACK:
        names.append(host)
    return list(dict.fromkeys(names))
