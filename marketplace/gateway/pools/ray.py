"""Replicas of a deployment of Ray Serve, set by its REST API: the whole configuration is read, changed and put back.

See https://docs.ray.io/en/latest/serve/api/index.html#serve-rest-api (``/api/serve/applications/``). A target is named
``application/deployment``. Ray places replicas itself, so spot is nothing that we could ask it for.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any
from uuid import UUID

from marketplace.gateway.pools.actuators import CannotScale, ReplicaFacts, Seen, Started, seen_by_count
from marketplace.gateway.pools.http import ask

PATH = "/api/serve/applications/"


class RayServe:
    """``url`` is that of Ray's dashboard; ``target`` an application and a deployment of it."""

    def __init__(self, *, url: str, target: str, token: str = "") -> None:
        self._url, self._token = url.rstrip("/") + PATH, token
        self._application, _, self._deployment = target.partition("/")

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        return Started(handle=f"{self._application}/{self._deployment}")

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        return None

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        return ""

    def forget_snapshot(self, *, pool: str) -> None:
        return None

    def settle(self, *, on_demand: int, spot: int) -> None:
        """Put the configuration with the wanted number; nothing is put when it is there already."""
        wanted = on_demand + spot
        current = self._configuration()
        changed = deepcopy(current)
        deployment = self._deployment_of(changed)
        # A fixed number and Ray's own autoscaling exclude each other.
        deployment.pop("autoscaling_config", None)
        deployment["num_replicas"] = wanted
        if changed != current:
            ask("PUT", self._url, body=changed, token=self._token)

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        """Read how many replicas run."""
        found = ask("GET", self._url, token=self._token)
        application = found.get("applications", {}).get(self._application, {})
        seen = application.get("deployments", {}).get(self._deployment, {}).get("replicas", [])
        running = sum(one.get("state") == "RUNNING" for one in seen)
        of_spot = sum(one.is_spot for one in replicas)
        plain = min(running, len(replicas) - of_spot)
        return seen_by_count(replicas, on_demand=plain, spot=running - plain)

    def _configuration(self) -> dict[str, Any]:
        """Build what PUT takes from what GET tells: the configuration that each application was deployed with."""
        found = ask("GET", self._url, token=self._token)
        applications = [
            one["deployed_app_config"]
            for one in found.get("applications", {}).values()
            if one.get("deployed_app_config")
        ]
        configuration: dict[str, Any] = {"applications": applications}
        for name in ("proxy_location", "http_options", "grpc_options"):
            if found.get(name):
                configuration[name] = found[name]
        return configuration

    def _deployment_of(self, configuration: dict[str, Any]) -> dict[str, Any]:
        for application in configuration["applications"]:
            if application.get("name") == self._application:
                deployments: list[dict[str, Any]] = application.setdefault("deployments", [])
                for one in deployments:
                    if one.get("name") == self._deployment:
                        return one
                deployments.append({"name": self._deployment})
                return deployments[-1]
        raise CannotScale(f"Ray Serve has no application {self._application!r}")
