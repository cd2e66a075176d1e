"""LiteLLM's proxy to measure against, installed in an environment of its own the first time it is asked for."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._serve import serving

VERSION = "1.89.7"
KEY = "sk-bench"
MODEL = "llm-8b"
# A key and a budget for each provider are what it does without a database of its own.
CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "{upstream}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
router_settings:
  provider_budget_config: {{openai: {{budget_limit: 1000000000, time_period: 1d}}}}
litellm_settings: {{drop_params: true, telemetry: false}}
"""


@contextmanager
def proxy(folder: Path, *, upstream: str) -> Iterator[str]:
    """Run the proxy before an upstream, in one process; yields its address."""
    binary = _installed(folder)
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(model=MODEL, upstream=upstream, key=KEY))
    command = [str(binary), "--config", str(config), "--host", "127.0.0.1", "--num_workers", "1"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OTEL_SDK_DISABLED": "true"}
    with serving(command, path="/health/liveliness", is_quiet=True, within_s=180, **quiet) as address:
        yield address


def _installed(folder: Path) -> Path:
    """Return the program; makes its environment when there is none of this version."""
    home = folder / f"litellm-{VERSION}"
    binary = home / "bin" / "litellm"
    if not binary.exists():
        print(f"Installing litellm {VERSION} into {home} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"litellm[proxy]=={VERSION}"], check=True)
    return binary
