"""`manage.py services start|stop|status`: only PostgreSQL and Valkey, for those who develop."""

import argparse

from marketplace.config import paths
from marketplace.config.services import ServiceFailed, postgres, valkey


def main(arguments: list[str]) -> int:
    """Start, stop or show the two servers of the data folder."""
    parser = argparse.ArgumentParser(
        prog="manage.py services", description="PostgreSQL and Valkey without the rest."
    )
    parser.add_argument("action", choices=["start", "stop", "status"])
    action = parser.parse_args(arguments).action
    data = paths.data_dir()
    try:
        if action == "start":
            print(f"PostgreSQL  {postgres.start(data)}")
            print(f"Valkey      {valkey.start(data)}")
        elif action == "stop":
            print(f"Valkey      {'stopped' if valkey.stop(data) else 'was not running'}")
            print(f"PostgreSQL  {'stopped' if postgres.stop(data) else 'was not running'}")
    except ServiceFailed as failure:
        print(failure)
        return 1
    if action != "status":
        return 0
    running = {"PostgreSQL": postgres.is_running(data), "Valkey": valkey.is_running(data)}
    for name, is_up in running.items():
        print(f"{name:<12}{'running' if is_up else 'not running'}")
    return 0 if all(running.values()) else 1
