"""Halfpenny for app authors: report what your app uses, without waiting for it and without losing it."""

from .calls import Call
from .default import default_meter, flush, meter, record
from .meter import Meter
from .metered import Metered, current_call
from .problems import Problem
from .responses import Reading, read_usage
from .settings import ConfigurationError
from .usage import Usage
from .version import __version__

__all__ = [
    "Call",
    "ConfigurationError",
    "Meter",
    "Metered",
    "Problem",
    "Reading",
    "Usage",
    "__version__",
    "current_call",
    "default_meter",
    "flush",
    "meter",
    "read_usage",
    "record",
]
