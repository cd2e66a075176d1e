"""Secrets in texts and files: keys of model vendors and others by their shape, and what detect-secrets knows."""

import re
from collections.abc import Iterator
from importlib.metadata import version

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

from marketplace.catalog.scans import archives
from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject

MIN_DIFFERENT_CHARS = 8
MAX_LINE = 4_000

VENDOR_KEYS = {
    "Anthropic": r"sk-ant-[a-z]{3,8}\d{2}-[\w-]{20,}",
    "OpenRouter": r"sk-or-v1-[0-9a-f]{32,}",
    "OpenAI": r"sk-(?!ant-|or-)(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{24,}",
    "Google": r"AIza[0-9A-Za-z_-]{35}",
    "Hugging Face": r"hf_[A-Za-z0-9]{30,}",
    "Groq": r"gsk_[A-Za-z0-9]{40,}",
    "xAI": r"xai-[A-Za-z0-9]{40,}",
    "Replicate": r"r8_[A-Za-z0-9]{30,}",
    "Perplexity": r"pplx-[A-Za-z0-9]{40,}",
    "Fireworks": r"fw_[A-Za-z0-9]{20,}",
    "this marketplace": r"hp_(?:app|sub|pat)_[A-Za-z0-9]+_[\w-]{16,}|whsec_[\w-]{24,}",
}
_VENDORS = {vendor: re.compile(rf"(?<![\w-])(?:{pattern})") for vendor, pattern in VENDOR_KEYS.items()}

# Names of detect-secrets' plugins -> severity. Verification, which asks the vendor, is not among them.
_SURE = (
    "AWSKeyDetector", "AzureStorageKeyDetector", "ArtifactoryDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "StripeDetector",
    "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_GUESSED = ("KeywordDetector",)
_FILTERS = [
    {"path": "detect_secrets.filters.heuristic.is_sequential_string"},
    {"path": "detect_secrets.filters.heuristic.is_templated_secret"},
    {"path": "detect_secrets.filters.heuristic.is_not_alphanumeric_string"},
]


def scan(subject: Subject) -> Report:
    """Look at every line of every text field and every text file of the archive."""
    texts = dict(subject.texts) | archives.texts_in(subject.archive)
    found = []
    for plugins, rule, severity in (
        (_SURE, "secrets.key", "critical"),
        (_GUESSED, "secrets.guess", "medium"),
    ):
        settings = {"plugins_used": [{"name": one} for one in plugins], "filters_used": _FILTERS}
        with transient_settings(settings):
            for place, text in texts.items():
                found += list(_known(place, text, rule, severity))
    vendors = [one for place, text in texts.items() for one in _vendor_keys(place, text)]
    return Report(
        sorted_findings(_without_doubles(vendors, found)),
        f"own patterns, detect-secrets {version('detect-secrets')}",
    )


def _vendor_keys(place: str, text: str) -> Iterator[Found]:
    for number, line in enumerate(text.splitlines(), start=1):
        for vendor, pattern in _VENDORS.items():
            for match in pattern.finditer(line):
                if _is_placeholder(match[0]):
                    continue
                message = f"What looks like a key of {vendor}: {_masked(match[0])}."
                yield Found("secrets.model-key", "critical", place, message, match[0], number)


def _known(place: str, text: str, rule: str, severity: str) -> Iterator[Found]:
    for number, line in enumerate(text.splitlines(), start=1):
        for secret in scan_line(line[:MAX_LINE]):
            value = secret.secret_value or ""
            message = f"What looks like a secret ({secret.type}): {_masked(value)}."
            yield Found(rule, severity, place, message, value or secret.type, number)


def _without_doubles(vendors: list[Found], others: list[Found]) -> list[Found]:
    """Say each line's secret once, by the rule that knows most of it."""
    said = {(one.place, one.line) for one in vendors}
    found = list(vendors)
    for one in others:
        if (one.place, one.line) not in said:
            said.add((one.place, one.line))
            found.append(one)
    return found


def _is_placeholder(key: str) -> bool:
    return len(set(key)) < MIN_DIFFERENT_CHARS or "xxxx" in key.lower() or "your" in key.lower()


def _masked(value: str) -> str:
    """Show enough to find it, not enough to use it."""
    return f"{value[:4]}… ({len(value)} characters)" if len(value) > 8 else f"{len(value)} characters"
