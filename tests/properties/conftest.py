from tests.metering.conftest import app, who

__all__ = ["app", "who"]
