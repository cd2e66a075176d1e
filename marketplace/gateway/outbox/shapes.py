"""A notice as the receivers of channels read it: our own JSON, Slack's, that of Microsoft Teams."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from marketplace.core.json import encode
from marketplace.core.notice_kinds import Kind


@dataclass(frozen=True)
class Message:
    """What a channel is told. ``url`` may be empty; ``kind`` is empty for a test."""

    id: str
    kind: str
    text: str
    url: str
    about: str
    brand: str
    at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        kind = Kind(self.kind).label if self.kind else "Test"
        return " · ".join(part for part in (kind, self.about, self.brand) if part)


def body_of(message: Message, *, form: str) -> bytes:
    """Write a message in the form of its channel; the same bytes at every attempt."""
    return encode(_SHAPES[form](message)).encode()


def _webhook(message: Message) -> dict[str, Any]:
    return {
        "type": f"notice.{message.kind or 'test'}",
        "timestamp": message.at.isoformat(),
        "data": {
            "id": message.id,
            "kind": message.kind or "test",
            "text": message.text,
            "url": message.url,
            "about": message.about,
            **({"subject": dict(message.facts)} if message.facts else {}),
        },
    }


def _slack(message: Message) -> dict[str, Any]:
    text = _escaped(message.text)
    linked = f"{text}\n<{message.url}|Open in {_escaped(message.brand)}>" if message.url else text
    return {
        # What a phone shows, and what those read who do not know blocks.
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": linked}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(message.label)}]},
        ],
    }


def _teams(message: Message) -> dict[str, Any]:
    """Write an Adaptive Card. Text runs are shown as they are: in a text block, people's words could be links."""
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": message.text}]},
            {
                "type": "RichTextBlock",
                "inlines": [{"type": "TextRun", "text": message.label, "isSubtle": True, "size": "small"}],
            },
        ],
    }
    if message.url:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": f"Open in {message.brand}", "url": message.url}
        ]
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def _escaped(text: str) -> str:
    """Escape what Slack reads as links, mentions and channels; its documentation names these three."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_SHAPES: dict[str, Callable[[Message], dict[str, Any]]] = {
    "webhook": _webhook,
    "slack": _slack,
    "teams": _teams,
}
