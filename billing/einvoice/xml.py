"""XML as text, an element at a time; what is empty is left out, as the norm forbids empty elements."""

from xml.sax.saxutils import escape, quoteattr

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What XML 1.0 has no way to write; a name that was typed with one of these loses it.
_UNWRITABLE = {code: None for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None}


def text(name: str, value: object, **attributes: str) -> str:
    """Write an element with text; nothing at all for an empty one."""
    written = "" if value is None else str(value)
    if not written.strip():
        return ""
    return f"<{name}{_attributes(attributes)}>{escape(written.translate(_UNWRITABLE))}</{name}>"


def tag(name: str, *children: str, **attributes: str) -> str:
    """Write an element with elements inside; nothing at all when there are none."""
    inside = "".join(children)
    return f"<{name}{_attributes(attributes)}>{inside}</{name}>" if inside else ""


def root(name: str, namespaces: dict[str, str], *children: str) -> bytes:
    """Write a whole document."""
    declared = "".join(
        f" xmlns{':' if short else ''}{short}={quoteattr(uri)}" for short, uri in namespaces.items()
    )
    return f"{DECLARATION}<{name}{declared}>{''.join(children)}</{name}>\n".encode()


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
