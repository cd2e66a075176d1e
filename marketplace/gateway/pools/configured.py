"""Actuators as this installation has them: commands, folders and tokens come from settings and environment."""

import os
from pathlib import Path

from django.conf import settings

from marketplace.gateway.pool_models import Pool
from marketplace.gateway.pools.actuators import Actuator, Nobody
from marketplace.gateway.pools.kubernetes import KubernetesScale
from marketplace.gateway.pools.local import LocalProcesses
from marketplace.gateway.pools.ray import RayServe


def actuator_of(pool: Pool) -> Actuator:
    """Return who starts and stops the replicas of a pool."""
    token = os.environ.get(pool.token_variable, "") if pool.token_variable else ""
    if pool.actuator == Pool.Actuator.LOCAL:
        return LocalProcesses(
            command=settings.POOL_COMMAND,
            snapshot_command=settings.POOL_SNAPSHOT_COMMAND,
            restore_command=settings.POOL_RESTORE_COMMAND,
            folder=Path(settings.DATA_DIR) / "pools",
            checkout=settings.BASE_DIR,
        )
    if pool.actuator == Pool.Actuator.KUBERNETES:
        return KubernetesScale(
            url=pool.target_url,
            namespace=pool.target_namespace,
            name=pool.target_name,
            spot_name=pool.spot_target_name,
            token=token,
        )
    if pool.actuator == Pool.Actuator.RAY:
        return RayServe(url=pool.target_url, target=pool.target_name, token=token)
    return Nobody()
