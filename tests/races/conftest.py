from collections.abc import Iterator

import pytest
from django.db import connection

from tests.metering.conftest import app, who
from tests.races.processes import Processes

__all__ = ["app", "who"]
COUNT = 4


@pytest.fixture(scope="session")
def processes(django_db_setup: None) -> Iterator[Processes]:
    """Four processes with Django on the test database, started once for all races of a run."""
    started = Processes(COUNT, database=connection.settings_dict["NAME"])
    yield started
    started.close()
