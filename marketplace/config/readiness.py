"""Ask a running Halfpenny whether all of it is up. Standard library only."""

import http.client
import os


def is_ready(address: str) -> bool:
    """Say whether GET /readyz answers 200 at an address like http://127.0.0.1:8000."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
    name = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].lstrip("*.") or "localhost"
    try:
        connection.request("GET", "/readyz", headers={"Host": name})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
