"""One check, in a process of its own: ``python -m marketplace.catalog.scans.probe secrets < subject > report``.

What strangers hand in is parsed here and nowhere else: with bounds on time and memory, without our settings and keys,
and without the tools' weight in the processes that serve pages and do jobs.
"""

import importlib
import json
import resource
import sys

from marketplace.catalog.scans.subject import subject_from_json

SCANNERS = {
    "hygiene": "hygiene",
    "secrets": "secrets",
    "template": "prompt_safety",
    "code": "code",
    "dependencies": "requirements",
    "behavior": "behavior",
}
CPU_S = 60
MEMORY_BYTES = 1024 * 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024


def main(check: str) -> None:
    """Read a subject, run one scanner, write its report."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    subject = subject_from_json(json.load(sys.stdin))
    # What a tool prints must not stand in the report.
    out, sys.stdout = sys.stdout, sys.stderr
    scanner = importlib.import_module(f"marketplace.catalog.scans.{SCANNERS[check]}")
    json.dump(scanner.scan(subject).as_json(), out)


if __name__ == "__main__":
    main(sys.argv[1])
