"""How a meter is set up: arguments first, then the environment, then defaults."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# The server takes 10,000 events and 8 MiB in one request.
MOST_EVENTS = 10_000
MOST_BYTES = 4 * 1024 * 1024

URL = "HALFPENNY_URL"
KEY = "HALFPENNY_KEY"
APP_ID = "HALFPENNY_APP_ID"
ENVIRONMENT = "HALFPENNY_ENVIRONMENT"
SPOOL_DIR = "HALFPENNY_SPOOL_DIR"
DURABLE = "HALFPENNY_DURABLE"
DISABLED = "HALFPENNY_DISABLED"
STATE_HOME = "XDG_STATE_HOME"


class ConfigurationError(ValueError):
    """A meter cannot be made of what it was given."""


@dataclass(frozen=True)
class Settings:
    """All that a meter needs to know; see the README for what each is for. Times in seconds, sizes in bytes."""

    url: str
    key: str = field(repr=False)
    app_id: str
    environment: str | None
    spool_dir: Path
    is_durable: bool
    is_disabled: bool
    batch_events: int
    batch_bytes: int
    flush_interval_s: float
    fsync_interval_s: float
    timeout_s: float
    max_spool_bytes: int
    segment_bytes: int
    models: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Return the spool of this destination: apps and servers that share ``spool_dir`` do not mix their events."""
        destination = "\n".join((self.url, self.app_id, self.environment or ""))
        name = re.sub(r"[^A-Za-z0-9_-]", "_", self.app_id)[:40]
        return self.spool_dir / f"{name}-{hashlib.sha256(destination.encode()).hexdigest()[:12]}"


def read(
    environ: Mapping[str, str],
    *,
    url: str | None,
    key: str | None,
    app_id: str | None,
    environment: str | None,
    spool_dir: str | os.PathLike[str] | None,
    durable: bool | None,
    disabled: bool | None,
    batch_events: int,
    flush_interval_s: float,
    fsync_interval_s: float,
    timeout_s: float,
    max_spool_bytes: int,
    models: Mapping[str, str] | None,
) -> Settings:
    """Fill in from the environment what was not given. Raises ConfigurationError."""
    is_disabled = _flag(environ, DISABLED) if disabled is None else disabled
    address = url or environ.get(URL, "")
    if not is_disabled:
        _check_address(address)
    if not 1 <= batch_events <= MOST_EVENTS:
        raise ConfigurationError(f"batch_events is 1 to {MOST_EVENTS}, not {batch_events}.")
    return Settings(
        url=address.rstrip("/"),
        key=_needed(key, environ, KEY, "key", is_disabled=is_disabled),
        app_id=_needed(app_id, environ, APP_ID, "app_id", is_disabled=is_disabled),
        environment=environment or environ.get(ENVIRONMENT) or None,
        spool_dir=Path(spool_dir or environ.get(SPOOL_DIR) or _state_dir(environ)),
        is_durable=_flag(environ, DURABLE) if durable is None else durable,
        is_disabled=is_disabled,
        batch_events=batch_events,
        batch_bytes=MOST_BYTES,
        flush_interval_s=flush_interval_s,
        fsync_interval_s=fsync_interval_s,
        timeout_s=timeout_s,
        max_spool_bytes=max_spool_bytes,
        segment_bytes=max(64 * 1024, min(4 * 1024 * 1024, max_spool_bytes // 8)),
        models=dict(models or {}),
    )


def _needed(
    given: str | None, environ: Mapping[str, str], variable: str, name: str, *, is_disabled: bool
) -> str:
    value = given or environ.get(variable, "")
    if not value and not is_disabled:
        raise ConfigurationError(f"A meter needs {name}: give it, or set {variable}.")
    return value


def _check_address(address: str) -> None:
    if not address:
        raise ConfigurationError(f"A meter needs url: give it, or set {URL}.")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"url is the address of the marketplace, such as https://…; this is not: {address}"
        )


def _flag(environ: Mapping[str, str], variable: str) -> bool:
    value = environ.get(variable, "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise ConfigurationError(f"{variable} is 0 or 1, not {value!r}.")


def _state_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for state that outlives a process (XDG Base Directory Specification)."""
    state = environ.get(STATE_HOME)
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "halfpenny"
