"""The servers that Halfpenny brings along: PostgreSQL and Valkey, from wheels, with a launcher of our own."""

import os
import stat
from pathlib import Path

from marketplace.config.refusals import Refused


class ServiceFailed(Refused):
    """A server could not be started; the message says why."""


def make_private(folder: Path, *, owner: int) -> None:
    """Make a folder that only the user with this id may enter; refuse one that somebody else put there.

    Another user's folder in /tmp under a name that can be foreseen would let them pose as our server.
    """
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise ServiceFailed(
                f"{folder} is not a private folder of user {owner}: remove it and try again."
            ) from None
