"""Files of bank transfers: SEPA credit transfers as pain.001.001.09, made once and given out as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from xml.etree import ElementTree as ET

from django.db import transaction

from billing.creators import paying
from billing.models import BankFile, Payout
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict
from marketplace.core.ids import uuid7
from marketplace.core.money import from_minor, minor_exponent

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
# SEPA's basic set; whatever else stands in a name is written as a dash.
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ ")
_SPELLED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "&": "+"}
)


class NothingToPay(Conflict):
    """There is no approved bank transfer that is in no file yet."""

    code = "nothing_to_pay"

    def __init__(self, currency: str) -> None:
        super().__init__(f"No approved bank transfer in {currency} waits for a file.")


class NoBankAccount(Conflict):
    """A bank file says from which account it is paid."""

    code = "no_bank_account"

    def __init__(self) -> None:
        super().__init__(
            "The marketplace's own IBAN is not set: add it to its legal entity, under Legal entities."
        )


@dataclass(frozen=True)
class Debtor:
    """From which account transfers are paid."""

    name: str
    iban: str
    bic: str = ""


def make(*, currency: str, execution_date: date, debtor: Debtor, by: Actor, at: datetime) -> BankFile:
    """Put every approved bank transfer that is in no file yet into one; it counts as sent from then on.

    Locks the payouts, so that two who press at once do not send one twice. Raises NotAllowed, NoBankAccount, NothingToPay.
    """
    access.require_platform(by, Role.FINANCE)
    if not debtor.iban:
        raise NoBankAccount
    with transaction.atomic():
        rows = _waiting(currency)
        payouts = paying.hold_uncovered(rows, at=at)
        if payouts:
            return _made(payouts, currency, execution_date, debtor, by=by, at=at)
    raise NothingToPay(currency)


def _waiting(currency: str) -> list[Payout]:
    rows = (
        Payout.objects.select_for_update(of=("self",))
        .select_related("team")
        .filter(
            state=Payout.State.SCHEDULED,
            method=paying.Method.BANK,
            currency=currency,
            file=None,
            approved_by__isnull=False,
        )
    )
    return [one for one in rows.order_by("pk") if one.is_approved]


def _made(
    payouts: Sequence[Payout], currency: str, day: date, debtor: Debtor, *, by: Actor, at: datetime
) -> BankFile:
    file_id = uuid7()
    message_id = f"HP{at:%Y%m%d}{file_id.hex[-12:]}".upper()
    made = BankFile.objects.create(
        id=file_id,
        message_id=message_id,
        currency=currency,
        execution_date=day,
        content=write(payouts, message_id=message_id, execution_date=day, debtor=debtor, at=at),
        made_by=by.user,
        made_at=at,
    )
    Payout.objects.filter(pk__in=[one.pk for one in payouts]).update(file=made, sent_at=at)
    new = {"payouts": len(payouts), "total_minor": sum(one.amount_minor for one in payouts)}
    audit.record("billing.bank_file.made", subject=made, at=at, by=by.user, new=new)
    return made


def write(
    payouts: Sequence[Payout], *, message_id: str, execution_date: date, debtor: Debtor, at: datetime
) -> str:
    """Write transfers as pain.001.001.09. Pure: the same payouts give the same text."""
    root = ET.Element("Document", xmlns=NAMESPACE)
    initiation = ET.SubElement(root, "CstmrCdtTrfInitn")
    header = ET.SubElement(initiation, "GrpHdr")
    _text(header, "MsgId", message_id)
    _text(header, "CreDtTm", f"{at:%Y-%m-%dT%H:%M:%S}Z")
    _sums(header, payouts)
    _text(ET.SubElement(header, "InitgPty"), "Nm", plain(debtor.name, 70))
    info = ET.SubElement(initiation, "PmtInf")
    _text(info, "PmtInfId", f"{message_id}-1")
    _text(info, "PmtMtd", "TRF")
    _sums(info, payouts)
    kind = ET.SubElement(info, "PmtTpInf")
    _text(ET.SubElement(kind, "SvcLvl"), "Cd", "SEPA")
    _text(ET.SubElement(info, "ReqdExctnDt"), "Dt", f"{execution_date:%Y-%m-%d}")
    _text(ET.SubElement(info, "Dbtr"), "Nm", plain(debtor.name, 70))
    _text(ET.SubElement(ET.SubElement(info, "DbtrAcct"), "Id"), "IBAN", debtor.iban)
    _agent(info, "DbtrAgt", debtor.bic)
    _text(info, "ChrgBr", "SLEV")
    for payout in payouts:
        _transfer(info, payout)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _transfer(info: ET.Element, payout: Payout) -> None:
    one = ET.SubElement(info, "CdtTrfTxInf")
    _text(ET.SubElement(one, "PmtId"), "EndToEndId", end_to_end_id(payout))
    amount = ET.SubElement(ET.SubElement(one, "Amt"), "InstdAmt", Ccy=payout.currency)
    amount.text = _amount(payout.amount_minor, payout.currency)
    if payout.destination["bic"]:
        _agent(one, "CdtrAgt", payout.destination["bic"])
    _text(ET.SubElement(one, "Cdtr"), "Nm", plain(payout.destination["holder"], 70))
    _text(ET.SubElement(ET.SubElement(one, "CdtrAcct"), "Id"), "IBAN", payout.destination["iban"])
    _text(ET.SubElement(one, "RmtInf"), "Ustrd", plain(f"Payout {payout.due_date} {payout.team}", 140))


def end_to_end_id(payout: Payout) -> str:
    """Name a transfer by its payout and attempt, in 35 characters: the bank's statement gives it back."""
    return f"{payout.pk.hex}-{payout.attempts}"[:35]


def _sums(parent: ET.Element, payouts: Sequence[Payout]) -> None:
    _text(parent, "NbOfTxs", str(len(payouts)))
    total = sum(payout.amount_minor for payout in payouts)
    _text(parent, "CtrlSum", _amount(total, payouts[0].currency))


def _amount(amount_minor: int, currency: str) -> str:
    return f"{from_minor(amount_minor, currency):.{minor_exponent(currency)}f}"


def _agent(parent: ET.Element, tag: str, bic: str) -> None:
    institution = ET.SubElement(ET.SubElement(parent, tag), "FinInstnId")
    if bic:
        _text(institution, "BICFI", bic)
    else:
        _text(ET.SubElement(institution, "Othr"), "Id", "NOTPROVIDED")


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def plain(text: str, length: int) -> str:
    """Write a text in the characters that every bank takes, cut to what a field holds."""
    spelled = text.translate(_SPELLED)
    return "".join(sign if sign in _ALLOWED else "-" for sign in spelled)[:length].strip() or "-"
