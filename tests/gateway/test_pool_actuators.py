"""Kubernetes, Ray Serve and KEDA, against servers that answer as theirs do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml

from marketplace.gateway.pools.actuators import CannotScale, ReplicaFacts, Seen
from marketplace.gateway.pools.keda import as_yaml, scaled_object, stretches
from marketplace.gateway.pools.kubernetes import KubernetesScale
from marketplace.gateway.pools.policy import WEEK_HOURS, Policy, Profile
from marketplace.gateway.pools.ray import RayServe

TOKEN = "the-token"
Answer = tuple[int, Any]


class Cluster:
    """What a fake server knows, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, Any]] = []
        self.deployments = {"llm": {"replicas": 1, "ready": 1}, "llm-spot": {"replicas": 0, "ready": 0}}
        self.ray: dict[str, Any] = {}

    def answer(self, method: str, path: str, content_type: str, body: Any) -> Answer:
        self.asked.append((method, path, content_type, body))
        if path == "/api/serve/applications/":
            return self._ray(method, body)
        return self._kubernetes(method, path, content_type, body)

    def _kubernetes(self, method: str, path: str, content_type: str, body: Any) -> Answer:
        """Answer as an API server: objects as in apps/v1 and autoscaling/v1, errors as Status."""
        parts = path.split("/")
        name, is_scale = parts[7], parts[-1] == "scale"
        deployment = self.deployments.get(name)
        if parts[:5] != ["", "apis", "apps", "v1", "namespaces"] or deployment is None:
            return 404, {"kind": "Status", "status": "Failure", "code": 404}
        if method == "PATCH":
            if content_type != "application/merge-patch+json" or not is_scale:
                return 415, {"kind": "Status", "code": 415}
            deployment["replicas"] = body["spec"]["replicas"]
        if is_scale:
            # A spec of zero is left out, as Go's omitempty does.
            spec = {"replicas": deployment["replicas"]} if deployment["replicas"] else {}
            return 200, {
                "kind": "Scale",
                "apiVersion": "autoscaling/v1",
                "spec": spec,
                "status": {"replicas": 0},
            }
        status = {"readyReplicas": deployment["ready"]} if deployment["ready"] else {}
        return 200, {"kind": "Deployment", "spec": {"replicas": deployment["replicas"]}, "status": status}

    def _ray(self, method: str, body: Any) -> Answer:
        """Answer as Ray's dashboard: PUT takes a whole ServeDeploySchema, GET tells ServeInstanceDetails."""
        if method == "PUT":
            for application in body["applications"]:
                if "import_path" not in application:
                    return 400, {"error": "import_path is missing"}
            self.ray = {one["name"]: one for one in body["applications"]}
            return 200, {}
        told = {name: self._details(one) for name, one in self.ray.items()}
        return 200, {"proxy_location": "EveryNode", "http_options": {"port": 8000}, "applications": told}

    def _details(self, application: dict[str, Any]) -> dict[str, Any]:
        replicas = {one["name"]: one.get("num_replicas") or 1 for one in application["deployments"]}
        return {
            "deployed_app_config": application,
            "deployments": {
                name: {
                    "replicas": [{"state": "RUNNING"}] * min(count, 2)
                    + [{"state": "STARTING"}] * max(0, count - 2)
                }
                for name, count in replicas.items()
            },
        }


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, found = 401, {"kind": "Status", "code": 401}
            else:
                status, found = cluster.answer(
                    self.command, self.path, self.headers.get("Content-Type", ""), body
                )
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_PATCH = _reply

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    with served(cluster) as address:
        yield address


def replica(number: int, *, is_spot: bool = False) -> ReplicaFacts:
    return ReplicaFacts(uuid4(), number, is_spot, "", "")


def seen(found: dict[UUID, Seen], *replicas: ReplicaFacts) -> list[Seen]:
    return [found[one.id] for one in replicas]


class TestKubernetes:
    def scale(self, url: str, **changes: str) -> KubernetesScale:
        given = {"url": url, "namespace": "models", "name": "llm", "spot_name": "llm-spot", "token": TOKEN}
        return KubernetesScale(**given | changes)

    def test_sets_what_differs_by_the_scale_subresource(self, cluster: Cluster, url: str) -> None:
        self.scale(url).settle(on_demand=1, spot=2)

        patched = [one for one in cluster.asked if one[0] == "PATCH"]
        path = "/apis/apps/v1/namespaces/models/deployments/llm-spot/scale"
        assert patched == [("PATCH", path, "application/merge-patch+json", {"spec": {"replicas": 2}})]

    def test_sets_none(self, cluster: Cluster, url: str) -> None:
        self.scale(url).settle(on_demand=0, spot=0)

        assert cluster.deployments["llm"]["replicas"] == 0

    def test_counts_as_ready_what_is_ready(self, cluster: Cluster, url: str) -> None:
        first, second, spot = replica(1), replica(2), replica(3, is_spot=True)

        found = self.scale(url).look([second, first, spot])

        assert seen(found, first, second, spot) == [Seen.READY, Seen.STARTING, Seen.STARTING]

    def test_says_what_the_cluster_refuses(self, url: str) -> None:
        with pytest.raises(CannotScale, match="answered 404"):
            self.scale(url, name="nothing").settle(on_demand=1, spot=0)
        with pytest.raises(CannotScale, match="answered 401"):
            self.scale(url, token="wrong").settle(on_demand=1, spot=0)

    def test_says_that_nobody_answers(self) -> None:
        with pytest.raises(CannotScale):
            self.scale("http://127.0.0.1:1").settle(on_demand=1, spot=0)


class TestRay:
    @pytest.fixture
    def deployed(self, cluster: Cluster) -> None:
        cluster.ray = {
            "chat": {
                "name": "chat", "import_path": "chat:app", "route_prefix": "/chat",
                "deployments": [{"name": "LLM", "num_replicas": 1, "user_config": {"a": 1}}, {"name": "Other"}],
            },
            "else": {"name": "else", "import_path": "else:app", "deployments": [{"name": "X"}]},
        }  # fmt: skip

    def test_changes_one_number_and_keeps_everything_else(
        self, cluster: Cluster, url: str, deployed: None
    ) -> None:
        serve = RayServe(url=url, target="chat/LLM", token=TOKEN)

        serve.settle(on_demand=3, spot=0)
        serve.settle(on_demand=3, spot=0)

        put = [one[3] for one in cluster.asked if one[0] == "PUT"]
        assert len(put) == 1
        chat, other = put[0]["applications"]
        assert chat["deployments"] == [
            {"name": "LLM", "num_replicas": 3, "user_config": {"a": 1}},
            {"name": "Other"},
        ]
        assert (chat["route_prefix"], other["name"]) == ("/chat", "else")
        assert put[0]["http_options"] == {"port": 8000}

    def test_counts_what_runs(self, cluster: Cluster, url: str, deployed: None) -> None:
        serve = RayServe(url=url, target="chat/LLM", token=TOKEN)
        serve.settle(on_demand=3, spot=0)
        replicas = [replica(number) for number in (1, 2, 3)]

        assert seen(serve.look(replicas), *replicas) == [Seen.READY, Seen.READY, Seen.STARTING]

    def test_says_that_the_application_is_not_there(self, url: str) -> None:
        with pytest.raises(CannotScale, match="no application"):
            RayServe(url=url, target="nothing/LLM", token=TOKEN).settle(on_demand=1, spot=0)


class TestKeda:
    def test_writes_the_schedule_as_cron_triggers_and_bursts_as_a_question(self) -> None:
        hours: list[int | None] = [0] * WEEK_HOURS
        hours[9] = hours[10] = 8000
        hours[167] = 3000
        policy = Policy(slots=4, least=0, most=5, full_percent=75)

        text = as_yaml(
            scaled_object(
                "small", policy, Profile(tuple(hours), 4), target="llm", namespace="models", zone="UTC",
                url="http://halfpenny/api/v1/pools/small",
            )
        )  # fmt: skip

        spec = yaml.safe_load(text)["spec"]
        assert spec["scaleTargetRef"] == {"name": "llm"}
        first, second, burst = spec["triggers"]
        assert first["metadata"] == {
            "timezone": "UTC", "start": "0 9 * * 1", "end": "0 11 * * 1", "desiredReplicas": "2",
        }  # fmt: skip
        # Sunday's last hour ends at the first one of Monday.
        assert (second["metadata"]["start"], second["metadata"]["end"]) == ("0 23 * * 0", "0 0 * * 1")
        assert (burst["type"], burst["metadata"]["targetValue"]) == ("metrics-api", "3")

    def test_has_no_stretch_where_nothing_is_known(self) -> None:
        assert stretches(Policy(slots=1), Profile()) == []
