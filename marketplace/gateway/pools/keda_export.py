"""A pool's policy as the file that KEDA takes."""

from django.conf import settings

from marketplace.gateway.pool_models import Pool
from marketplace.gateway.pools import keda


def keda_yaml(pool: Pool) -> str:
    """Write the ScaledObject; calls under way are asked of our own API."""
    return keda.as_yaml(
        keda.scaled_object(
            pool.name,
            pool.policy,
            pool.learnt,
            target=pool.target_name or pool.name,
            namespace=pool.target_namespace,
            zone=pool.time_zone,
            url=f"{settings.PUBLIC_URL.rstrip('/')}/api/v1/pools/{pool.name}",
        )
    )
