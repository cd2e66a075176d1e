"""The models there are, and how long each takes."""

from dataclasses import dataclass
from hashlib import blake2b

CREATED = 1_767_225_600
"""2026-01-01, when all demo models were "made"."""


@dataclass(frozen=True, slots=True)
class Model:
    """Times in milliseconds, at latency scale 1."""

    name: str
    first_token_ms: float
    per_output_token_ms: float
    per_1000_input_tokens_ms: float
    is_embedding: bool = False

    def latency_s(self, *, seed: bytes, input_tokens: int, scale: float) -> float:
        """Answer how long until the first token: fixed by the seed, a quarter around the mean."""
        spread = 0.75 + 0.5 * blake2b(seed, digest_size=1).digest()[0] / 255
        base_ms = self.first_token_ms + self.per_1000_input_tokens_ms * input_tokens / 1000
        return base_ms * spread * scale / 1000

    def pace_s(self, *, scale: float) -> float:
        """Answer how long each output token takes."""
        return self.per_output_token_ms * scale / 1000


MODELS = {
    model.name: model
    for model in (
        Model("llm-1b", 4, 0.05, 0.5),
        Model("llm-3b", 6, 0.08, 0.8),
        Model("llm-8b", 9, 0.12, 1.2),
        Model("llm-70b", 18, 0.3, 3),
        Model("llm-400b", 32, 0.6, 6),
        Model("embed-small", 3, 0, 0.5, is_embedding=True),
    )
}


def listing() -> dict[str, object]:
    """Give the answer of ``GET /v1/models``."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "halfpenny-demo"}
            for name in MODELS
        ],
    }
