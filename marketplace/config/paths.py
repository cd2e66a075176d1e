"""Where Halfpenny keeps its data, and the addresses of the servers inside that folder.

Standard library only and without side effects on import: the launcher uses it before the packages are
installed.
"""

import hashlib
import os
import pwd
import secrets
import tempfile
from pathlib import Path
from urllib.parse import quote

CHECKOUT = Path(__file__).resolve().parents[2]
DATABASE_NAME = "halfpenny"
# A Unix socket's path may have 103 bytes on macOS and 107 on Linux; PostgreSQL adds "/.s.PGSQL.5432".
LONGEST_SOCKET_FOLDER = 85


def data_dir() -> Path:
    """Return the data folder: HALFPENNY_DATA, else `.halfpenny` in the checkout.

    PostgreSQL refuses to run as root and then runs as `nobody`; a folder that `nobody` cannot reach, such as
    one
    in root's home, is replaced by one under /var/lib that is derived from its path.
    """
    wanted = Path(os.environ.get("HALFPENNY_DATA") or CHECKOUT / ".halfpenny").absolute()
    # Of the folder itself the launcher takes care; those above it are not ours to open.
    if os.geteuid() == 0 and not nobody_can_enter(wanted.parent):
        return Path("/var/lib") / f"halfpenny-{_digest(wanted)}"
    return wanted


def nobody_can_enter(folder: Path) -> bool:
    """Say whether the user `nobody` may traverse this folder and all above it, as far as they exist."""
    nobody = pwd.getpwnam("nobody")
    for place in (folder, *folder.parents):
        if not place.exists():
            continue
        status = place.stat()
        needed = (
            0o100 if status.st_uid == nobody.pw_uid else 0o010 if status.st_gid == nobody.pw_gid else 0o001
        )
        if not status.st_mode & needed:
            return False
    return True


def postgres_dir(data: Path) -> Path:
    """Return the folder of the embedded PostgreSQL's files."""
    return data / "postgres"


def valkey_dir(data: Path) -> Path:
    """Return the folder of the embedded Valkey's files."""
    return data / "valkey"


def logs_dir(data: Path) -> Path:
    """Return the folder of the log files."""
    return data / "logs"


def static_dir(data: Path) -> Path:
    """Return the folder into which static files are collected."""
    return data / "static"


def pids_dir(data: Path) -> Path:
    """Return the folder in which forked processes note their ids."""
    return data / "pids"


def beat_schedule(data: Path) -> Path:
    """Return the file in which Celery beat remembers when it last sent what."""
    return data / "beat-schedule"


def socket_dir(data: Path) -> Path:
    """Return the folder of PostgreSQL's socket: its own, or a short one in /tmp."""
    return _short_enough(postgres_dir(data))


def valkey_socket(data: Path) -> Path:
    """Return the path of Valkey's socket: in its own folder, or a short one in /tmp when that path is too
    long."""
    return _short_enough(valkey_dir(data)) / "valkey.sock"


def postgres_url(data: Path, *, database: str = DATABASE_NAME) -> str:
    """Return the embedded PostgreSQL's address as libpq and dj-database-url read it."""
    return f"postgresql://postgres@/{database}?host={quote(str(socket_dir(data)), safe='/')}"


def secret_key(data: Path) -> str:
    """Return the installation's own secret, made at the first call and kept in a file that only its owner
    reads."""
    path = data / "secret_key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=data, prefix=".secret_key-")
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        try:
            # Unlike rename, link fails when another process was faster: then both read that one's key.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return path.read_text()


def _short_enough(folder: Path) -> Path:
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    # Not tempfile.gettempdir(): all processes must agree, whatever TMPDIR says in their environment.
    return Path("/tmp") / f"halfpenny-{folder.name}-{_digest(folder)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
