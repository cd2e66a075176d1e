"""Signs of life of processes that answer no requests, kept in the cache for a minute."""

from django.core.cache import cache

KEPT_S = 60
NAMES = ("worker", "beat")


def beat(*names: str) -> None:
    """Note that these processes live."""
    cache.set_many({f"heartbeat:{name}": True for name in names}, KEPT_S)


def stop(name: str) -> None:
    """Note that a process has ended in order."""
    cache.delete(f"heartbeat:{name}")


def missing() -> list[str]:
    """Return the processes that gave no sign of life within the last minute."""
    seen = cache.get_many([f"heartbeat:{name}" for name in NAMES])
    return [name for name in NAMES if f"heartbeat:{name}" not in seen]
