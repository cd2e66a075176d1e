"""The virtual environment: made from a hashed lock, repaired when half made, else left alone.

Standard library only.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from marketplace.config.refusals import Refused

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = CHECKOUT / ".venv"
# dev.lock holds everything that run.lock holds.
LOCKS = {"run": CHECKOUT / "run.lock", "dev": CHECKOUT / "dev.lock"}
INSTALLER_LOCK = Path(__file__).with_name("installer.lock")
PIP_INSTALL = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==[^\s;\\]+ *(;)?", re.MULTILINE)


def ensure(kind: str) -> Path | None:
    """Make sure that the packages of the lock "run" or "dev" are there, and return the python that has them.

    Return None when the running python is already one that has them. Raise Refused when they cannot be
    installed.
    """
    if not _runs_in_our_environment() and has_all_packages(LOCKS[kind]):
        return None
    if not is_ready(kind):
        with _exclusively():
            if not is_ready(kind):
                _install(kind)
        return _python()
    return None if _runs_in_our_environment() else _python()


def is_ready(kind: str) -> bool:
    """Say whether `.venv` was completely installed from this lock, for the python it now runs."""
    version = _environment_version()
    return version is not None and not _unfinished().exists() and _stamp(version, kind).exists()


def has_all_packages(lock: Path) -> bool:
    """Say whether the running python, say that of a container image, has all packages a lock names."""
    if importlib.util.find_spec("django") is None:
        return False
    installed = {_normalized(name) for found in metadata.distributions() if (name := found.metadata["Name"])}
    # A line with a condition may be for another platform or version: its absence proves nothing.
    needed = {_normalized(name) for name, condition in PINNED.findall(lock.read_text()) if not condition}
    return needed <= installed


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _runs_in_our_environment() -> bool:
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve()


def _python() -> Path:
    return ENVIRONMENT / "bin/python"


def _unfinished() -> Path:
    """Return the file that stands in the environment while it is being installed: a killed installer leaves
    it."""
    return ENVIRONMENT / ".unfinished"


def _stamp(version: str, kind: str) -> Path:
    content = LOCKS["run"].read_bytes() + (LOCKS["dev"].read_bytes() if kind == "dev" else b"")
    return _packages_dir(version) / f".halfpenny-{kind}-{hashlib.sha256(content).hexdigest()[:16]}"


def _packages_dir(version: str) -> Path:
    return ENVIRONMENT / f"lib/python{version}/site-packages"


def _environment_version() -> str | None:
    """Return the version, like 3.11, of the environment's python; None when it does not run."""
    if _runs_in_our_environment():
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        command = [str(_python()), "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@contextmanager
def _exclusively() -> Iterator[None]:
    try:
        lock = open(CHECKOUT / ".venv.lock", "w")  # noqa: SIM115 (closed below, after another handler)
    except OSError as error:
        raise Refused(
            f"The packages cannot be installed because {CHECKOUT} is not writable ({error.strerror}): "
            "make it writable, or run as its owner."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(kind: str) -> None:
    started = time.monotonic()
    print("Installing Python packages into .venv (only when the lock changed) ...", flush=True)
    _remove_if_broken()
    if not ENVIRONMENT.exists():
        _create()
    version = _environment_version()
    if version is None:
        raise Refused(f"{_python()} does not run: remove {ENVIRONMENT} and try again.")
    _unfinished().touch()
    _install_lock(LOCKS[kind])
    for done in ("run", "dev") if kind == "dev" else ("run",):
        _stamp(version, done).touch()
    _unfinished().unlink()
    print(f"  done in {time.monotonic() - started:.0f} s", flush=True)


def _remove_if_broken() -> None:
    """Remove an environment whose making or installing was interrupted, or whose python was upgraded under
    it."""
    version = _environment_version()
    whole = version is not None and _packages_dir(version).exists() and not _unfinished().exists()
    if ENVIRONMENT.exists() and not whole:
        shutil.rmtree(ENVIRONMENT)


def _create() -> None:
    base = getattr(sys, "_base_executable", sys.executable)
    if uv := shutil.which("uv"):
        made = subprocess.run([uv, "venv", "--quiet", "--python", base, ENVIRONMENT]).returncode == 0
        if made:
            return
    if importlib.util.find_spec("ensurepip") is None:
        raise Refused(
            "Python's venv module is missing. Install it (Debian, Ubuntu: "
            f"apt-get install python3-venv) for {base} and run this command again."
        )
    # The mark comes first: a run that is killed while pip is being unpacked must not pass for a whole one.
    ENVIRONMENT.mkdir()
    _unfinished().touch()
    try:
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(f"The virtual environment {ENVIRONMENT} could not be made: {error}") from error


def _install_lock(lock: Path) -> None:
    """Install with uv, which takes seconds, and with pip when uv cannot be had or does not get through."""
    python = str(_python())
    requirements = ["--require-hashes", "-r", str(lock)]
    if uv := _uv(python):
        # Compiled here and now, as pip does: else each start pays for it where python may not write bytecode.
        options = ["--quiet", "--compile-bytecode", "--python", python]
        if subprocess.run([*uv, "pip", "install", *options, *requirements]).returncode == 0:
            return
        print("  uv did not succeed, trying pip", flush=True)
    if subprocess.run([python, *PIP_INSTALL, *requirements], stdin=subprocess.DEVNULL).returncode:
        raise Refused("The packages could not be installed; the lines above say why. Then run this again.")


def _uv(python: str) -> list[str] | None:
    if found := shutil.which("uv"):
        return [found]
    if not (ENVIRONMENT / "bin/uv").exists():
        command = [python, *PIP_INSTALL, "--require-hashes", "-r", str(INSTALLER_LOCK)]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            return None
    return [python, "-m", "uv"] if os.access(ENVIRONMENT / "bin/uv", os.X_OK) else None
