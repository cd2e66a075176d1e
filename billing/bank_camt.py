"""Reading CAMT.053, the statement of ISO 20022 (any version): entries that are booked, by their transactions. Pure."""

from collections.abc import Iterator
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from billing.bank_statements import (
    MOST_LINES,
    Line,
    Statement,
    Unreadable,
    Wrong,
    made_reference,
    read_date,
    read_minor,
)

NOTHING_KNOWN = "NOTPROVIDED"


class NotCamt(ValueError):
    """The file is no statement of that standard."""


def read(data: bytes) -> Statement:
    """Read the booked entries; one that is wrong is told with its number and leaves the others. Raises NotCamt."""
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise NotCamt("is no XML that can be read") from error
    statements = _all(root, "BkToCstmrStmt", "Stmt")
    if not statements:
        raise NotCamt("has no statement (BkToCstmrStmt/Stmt)")
    lines: list[Line] = []
    wrong: list[Wrong] = []
    seen: dict[str, int] = {}
    entries = ((statement, entry) for statement in statements for entry in _all(statement, "Ntry"))
    for position, (statement, entry) in enumerate(entries, start=1):
        if len(lines) + len(wrong) >= MOST_LINES:
            wrong.append(Wrong(position, f"is beyond the {MOST_LINES:,} lines that are read of a file"))
            break
        if (_text(entry, "Sts", "Cd") or _text(entry, "Sts")) not in ("BOOK", ""):
            continue
        account = _text(statement, "Acct", "Id", "IBAN") or _text(statement, "Acct", "Id", "Othr", "Id")
        try:
            lines += _lines(entry, position, account[:34], seen)
        except Unreadable as error:
            wrong.append(Wrong(position, str(error)))
    return Statement(tuple(lines), tuple(wrong))


def _lines(entry: Any, position: int, account: str, seen: dict[str, int]) -> list[Line]:
    currency, whole_minor = _amount(_first(entry, "Amt"))
    is_debit = _text(entry, "CdtDbtInd") == "DBIT"
    booked = _text(entry, "BookgDt", "Dt") or _text(entry, "BookgDt", "DtTm")[:10]
    booked_on = read_date(booked)
    details = [one for part in _all(entry, "NtryDtls") for one in _all(part, "TxDtls")] or [entry]
    amounts = [_own_amount(one) for one in details] if len(details) > 1 else [(currency, whole_minor)]
    if len(details) > 1 and sum(minor for _, minor in amounts) != whole_minor:
        raise Unreadable("its transactions do not sum to its amount")
    made = []
    for one, (of_currency, minor) in zip(details, amounts, strict=True):
        name, text = _name(one, is_debit=is_debit), _remittance(one) or _text(entry, "AddtlNtryInf")
        amount_minor = -minor if is_debit else minor
        said = [f"{booked_on}", f"{amount_minor}", of_currency, name, text]
        reference = (
            _reference(one)
            or (len(details) == 1 and _reference_of_entry(entry))
            or made_reference(said, seen)
        )
        made.append(
            Line(
                position,
                booked_on,
                amount_minor,
                of_currency,
                reference[:80],
                name[:140],
                text[:500],
                account,
            )
        )
    return made


def _amount(element: Any) -> tuple[str, int]:
    if element is None:
        raise Unreadable("has no amount")
    currency = element.get("Ccy", "")
    return currency, read_minor(element.text or "", currency)


def _own_amount(details: Any) -> tuple[str, int]:
    found = _first(details, "Amt")
    return _amount(found if found is not None else _first(details, "AmtDtls", "TxAmt", "Amt"))


def _reference(details: Any) -> str:
    for name in ("AcctSvcrRef", "TxId", "EndToEndId"):
        found = _text(details, "Refs", name)
        if found and found != NOTHING_KNOWN:
            return found
    return ""


def _reference_of_entry(entry: Any) -> str:
    return _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef")


def _name(details: Any, *, is_debit: bool) -> str:
    side = "Cdtr" if is_debit else "Dbtr"
    return _text(details, "RltdPties", side, "Nm") or _text(details, "RltdPties", side, "Pty", "Nm")


def _remittance(details: Any) -> str:
    free = [one.text or "" for one in _all(details, "RmtInf", "Ustrd")]
    structured = [_text(one, "CdtrRefInf", "Ref") for one in _all(details, "RmtInf", "Strd")]
    return " ".join(part.strip() for part in [*free, *structured] if part.strip())


def _all(element: Any, *path: str) -> list[Any]:
    """Find children by local names, whatever the namespace, which has the version in it."""
    found = [element]
    for name in path:
        found = [child for parent in found for child in _named(parent, name)]
    return found


def _named(element: Any, name: str) -> Iterator[Any]:
    return (child for child in element if str(child.tag).rpartition("}")[2] == name)


def _first(element: Any, *path: str) -> Any:
    return next(iter(_all(element, *path)), None)


def _text(element: Any, *path: str) -> str:
    found = _first(element, *path)
    return (found.text or "").strip() if found is not None else ""
