"""Ask a running Halfpenny whether all of it is up. Standard library only."""

import http.client
import os


def is_ready(address: str) -> bool:
    """Say whether GET /readyz answers 200 at an address like http://127.0.0.1:8000."""
    return why_not_ready(address) is None


def is_alive(address: str) -> bool:
    """Say whether GET /healthz answers 200 within ten seconds: a process that hangs says nothing."""
    return _why_not(address, "/healthz", timeout_s=10) is None


def why_not_ready(address: str) -> str | None:
    """Return what GET /readyz says when it is not 200, or why it cannot be asked; None when all is well."""
    return _why_not(address, "/readyz", timeout_s=5)


def _why_not(address: str, path: str, *, timeout_s: float) -> str | None:
    host, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
    name = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].lstrip("*.") or "localhost"
    try:
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        if answer.status == http.client.OK:
            return None
        return f"{path} answers {answer.status}: {answer.read(300).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return f"{path} does not answer ({error})"
    finally:
        connection.close()
