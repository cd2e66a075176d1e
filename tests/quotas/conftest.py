from tests.metering.conftest import app, who, world

__all__ = ["app", "who", "world"]
