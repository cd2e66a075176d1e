"""Replicas of a Deployment: set by its scale subresource, seen by its status. Spot is a Deployment of its own.

See https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/ (``patch`` of ``scale``).
"""

from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

from marketplace.gateway.pools.actuators import ReplicaFacts, Seen, Started, seen_by_count
from marketplace.gateway.pools.http import ask

MERGE_PATCH = "application/merge-patch+json"


class KubernetesScale:
    """``url`` is the API server's; ``spot_name`` is empty where there are no spot instances."""

    def __init__(self, *, url: str, namespace: str, name: str, spot_name: str = "", token: str = "") -> None:
        self._base = (
            f"{url.rstrip('/')}/apis/apps/v1/namespaces/{quote(namespace or 'default', safe='')}/deployments"
        )
        self._name, self._spot_name, self._token = name, spot_name, token

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        return Started(handle=self._spot_name if is_spot else self._name)

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        return None

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        return ""

    def forget_snapshot(self, *, pool: str) -> None:
        return None

    def settle(self, *, on_demand: int, spot: int) -> None:
        """Set both numbers; one that is right already is not written again."""
        self._scale(self._name, on_demand)
        if self._spot_name:
            self._scale(self._spot_name, spot)

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        """Read how many are ready."""
        spot = self._ready(self._spot_name) if self._spot_name else 0
        return seen_by_count(replicas, on_demand=self._ready(self._name), spot=spot)

    def _scale(self, name: str, replicas: int) -> None:
        url = f"{self._base}/{quote(name, safe='')}/scale"
        current = ask("GET", url, token=self._token).get("spec", {}).get("replicas", 0)
        if current != replicas:
            wanted = {"spec": {"replicas": replicas}}
            ask("PATCH", url, body=wanted, token=self._token, content_type=MERGE_PATCH)

    def _ready(self, name: str) -> int:
        found = ask("GET", f"{self._base}/{quote(name, safe='')}", token=self._token)
        # The field is left out while none is ready.
        return int(found.get("status", {}).get("readyReplicas") or 0)
