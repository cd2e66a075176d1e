"""Halfpenny for those who make apps and those who call them: a client, a meter, and what makes calls cheap and sure."""

from .async_client import AsyncChatStream, AsyncClient
from .batch_jobs import Batches, BatchLine, BatchState
from .breaker import Breaker, CircuitOpen
from .caching import ExactCache, cache_key, is_cacheable, is_keepable
from .calls import Call
from .chat_streams import ChatStream
from .client import Client
from .default import default_meter, flush, meter, record
from .errors import (
    ApiError,
    AppPaused,
    BudgetExceeded,
    Conflict,
    FieldProblem,
    HalfpennyError,
    IdempotencyKeyReused,
    InvalidRequest,
    KeyRefused,
    LimitReached,
    ModelNotApproved,
    NotAllowed,
    NotFound,
    PaymentRequired,
    ProviderFailed,
    QuotaExceeded,
    RateLimited,
    RunFailed,
    StillRunning,
    StreamBroken,
    Unavailable,
    Unreachable,
)
from .meter import Meter
from .metered import Metered, current_call
from .packing import Outcome, call_packed, packs
from .policy_store import PolicyStore
from .problems import Problem
from .responses import Reading, read_usage
from .results import (
    ChatAnswer,
    ChatChunk,
    Embeddings,
    LimitStanding,
    Route,
    RunAnswer,
    RunState,
    UsageReport,
    UsageRow,
)
from .retrying import Retry
from .route_policies import RouteCall, RouteChoice, RouteModel, RoutePolicy, RouteRow
from .settings import ConfigurationError
from .usage import Usage
from .version import __version__

__all__ = [
    "ApiError",
    "AppPaused",
    "AsyncChatStream",
    "AsyncClient",
    "BatchLine",
    "BatchState",
    "Batches",
    "Breaker",
    "BudgetExceeded",
    "Call",
    "ChatAnswer",
    "ChatChunk",
    "ChatStream",
    "CircuitOpen",
    "Client",
    "ConfigurationError",
    "Conflict",
    "Embeddings",
    "ExactCache",
    "FieldProblem",
    "HalfpennyError",
    "IdempotencyKeyReused",
    "InvalidRequest",
    "KeyRefused",
    "LimitReached",
    "LimitStanding",
    "Meter",
    "Metered",
    "ModelNotApproved",
    "NotAllowed",
    "NotFound",
    "Outcome",
    "PaymentRequired",
    "PolicyStore",
    "Problem",
    "ProviderFailed",
    "QuotaExceeded",
    "RateLimited",
    "Reading",
    "Retry",
    "Route",
    "RouteCall",
    "RouteChoice",
    "RouteModel",
    "RoutePolicy",
    "RouteRow",
    "RunAnswer",
    "RunFailed",
    "RunState",
    "StillRunning",
    "StreamBroken",
    "Unavailable",
    "Unreachable",
    "Usage",
    "UsageReport",
    "UsageRow",
    "__version__",
    "cache_key",
    "call_packed",
    "current_call",
    "default_meter",
    "flush",
    "is_cacheable",
    "is_keepable",
    "meter",
    "packs",
    "read_usage",
    "record",
]
