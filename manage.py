#!/usr/bin/env python3
"""Halfpenny's one command: `python3 manage.py up` starts it, `python3 manage.py help` lists the rest."""

import sys

# Old pythons get this far, so nothing above or in here may be newer than they are.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Halfpenny needs Python 3.11 or newer, and this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

from marketplace.config import bootstrap

if __name__ == "__main__":
    sys.exit(bootstrap.main(sys.argv[1:]))
