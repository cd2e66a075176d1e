#!/usr/bin/env python3
"""Halfpenny's one command: `python3 manage.py up` starts it, `python3 manage.py help` lists the rest."""

import sys

if sys.version_info < (3, 11):
    sys.exit("Halfpenny needs Python 3.11 or newer, and this is Python %d.%d." % sys.version_info[:2])

from marketplace.config import bootstrap

if __name__ == "__main__":
    sys.exit(bootstrap.main(sys.argv[1:]))
