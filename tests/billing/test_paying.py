from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from django.db import DatabaseError, transaction

from billing import settling
from billing.creators import bank_files, paying, plans
from billing.creators.balances import balance_of
from billing.creators.bank_files import Debtor
from billing.ledger.verify import verify
from billing.models import Invoice, Payout, PayoutPlan, Posting
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import Team, User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from tests.billing.paying import BANK, HOUSE, RELEASED, TENTH, TERMS, choose, in_file, pay, sell
from tests.conftest import Cast


class TestSchedule:
    def test_makes_one_payout_a_day_of_what_was_released_in_time(self, payout: Payout) -> None:
        assert (payout.amount_minor, payout.state, payout.due_date) == (
            4_000,
            "scheduled",
            date(2026, 11, 10),
        )
        assert paying.schedule_due(at=TENTH + timedelta(hours=1), terms=TERMS) == []
        assert balance_of(payout.team_id, "USD").free_minor == 0

    @pytest.mark.parametrize(
        ("choice", "paid"),
        [
            # Released on the 3rd: 7 days before the 10th, but not 8.
            (replace(BANK, hold_days=6), 1),
            (replace(BANK, hold_days=7), 0),
            (replace(BANK, threshold_minor=4_000), 1),
            (replace(BANK, threshold_minor=4_001), 0),
            # 10 November 2026 is a Tuesday.
            (replace(BANK, schedule="weekly", day=2), 1),
        ],
    )
    def test_waits_for_day_and_threshold(
        self, cast: Cast, studio: Team, maker: User, finance: Actor, choice: plans.Choice, paid: int
    ) -> None:
        pay(sell(studio, cast), finance)
        choose(studio, maker, choice)

        assert len(paying.schedule_due(at=TENTH, terms=TERMS)) == paid

    def test_pays_nothing_that_the_payer_has_not_paid(self, cast: Cast, studio: Team, maker: User) -> None:
        sell(studio, cast)
        choose(studio, maker)

        assert paying.schedule_due(at=TENTH, terms=TERMS) == []

    def test_credits_the_cost_center_of_teams_inside_of_the_house(self, cast: Cast, finance: Actor) -> None:
        pay(sell(cast.creator_team, cast), finance)
        internal = plans.Choice(plans.Method.INTERNAL, hold_days=0)
        plans.choose(
            cast.creator_team, currency="USD", choice=internal, by=actor_for(cast.creator), at=RELEASED
        )

        (payout,) = paying.schedule_due(at=TENTH, terms=TERMS)

        assert (payout.state, payout.reference) == ("paid", "CC-100")
        booked = Posting.objects.filter(entry=payout.entry).values_list("account", "amount_minor")
        assert dict(booked) == {"creator_payable": 4_000, "cost_center_charge": -4_000}
        assert all(verdict.is_ok for verdict in verify())

    def test_is_checked_by_the_database(self, payout: Payout) -> None:
        with pytest.raises(DatabaseError, match="more would be paid"), transaction.atomic():
            Payout.objects.create(
                key="twice", plan=payout.plan, team=payout.team, currency="USD", amount_minor=1, method="bank",
                destination={}, due_date=payout.due_date, created_at=TENTH, needs_second_person=False,
            )  # fmt: skip


class TestApprove:
    def test_takes_two_people_above_the_limit(
        self, cast: Cast, studio: Team, maker: User, finance: Actor, second: Actor
    ) -> None:
        # 80 percent of 125.01 are 100.01.
        pay(sell(studio, cast, amount="125.01"), finance)
        choose(studio, maker)
        (payout,) = paying.schedule_due(at=TENTH, terms=TERMS)
        assert (payout.amount_minor, payout.needs_second_person) == (10_001, True)

        paying.approve_one(payout, by=finance, at=TENTH)
        with pytest.raises(paying.ApprovedBefore):
            paying.approve_one(payout, by=finance, at=TENTH)
        with pytest.raises(bank_files.NothingToPay):
            bank_files.make(currency="USD", execution_date=TENTH.date(), debtor=HOUSE, by=finance, at=TENTH)
        paying.approve_one(payout, by=second, at=TENTH)

        assert payout.is_approved
        with pytest.raises(DatabaseError, match="payout_four_eyes"), transaction.atomic():
            Payout.objects.update(second_by=cast.finance)

    def test_is_for_the_marketplaces_finance(self, payout: Payout, cast: Cast, maker: User) -> None:
        for person in (cast.operator, cast.stranger, maker):
            with pytest.raises(NotAllowed):
                paying.approve_one(payout, by=actor_for(person), at=TENTH)


class TestBankFile:
    def test_has_the_structure_that_banks_take(self, payout: Payout, finance: Actor) -> None:
        in_file(payout, finance)

        payout.refresh_from_db()
        assert payout.file is not None
        root = ET.fromstring(payout.file.content)
        names = {"p": bank_files.NAMESPACE}

        def text(path: str) -> list[str | None]:
            return [
                one.text
                for one in root.findall(".//" + "/".join(f"p:{tag}" for tag in path.split("/")), names)
            ]

        assert text("GrpHdr/NbOfTxs") + text("PmtInf/NbOfTxs") == ["1", "1"]
        assert text("GrpHdr/CtrlSum") + text("PmtInf/CtrlSum") == ["40.00", "40.00"]
        assert text("ReqdExctnDt/Dt") == ["2026-11-11"]
        assert text("DbtrAcct/Id/IBAN") + text("CdtrAcct/Id/IBAN") == [
            "DE02120300000000202051",
            "DE89370400440532013000",
        ]
        assert text("Cdtr/Nm") == ["Studio Groesse + Co"]
        assert text("PmtId/EndToEndId") == [f"{payout.pk.hex}-0"]
        assert text("InstdAmt") == ["40.00"]
        order = [one.tag.split("}")[1] for one in root.findall(".//p:PmtInf/*", names)]
        assert order == [
            "PmtInfId", "PmtMtd", "NbOfTxs", "CtrlSum", "PmtTpInf", "ReqdExctnDt", "Dbtr", "DbtrAcct", "DbtrAgt",
            "ChrgBr", "CdtTrfTxInf",
        ]  # fmt: skip

    def test_is_made_once(self, payout: Payout, finance: Actor) -> None:
        in_file(payout, finance)

        with pytest.raises(bank_files.NothingToPay):
            bank_files.make(currency="USD", execution_date=TENTH.date(), debtor=HOUSE, by=finance, at=TENTH)

    def test_needs_an_account_to_pay_from(self, payout: Payout, finance: Actor) -> None:
        with pytest.raises(bank_files.NoBankAccount):
            bank_files.make(
                currency="USD", execution_date=TENTH.date(), debtor=Debtor("X", ""), by=finance, at=TENTH
            )


class TestConfirm:
    def test_books_what_the_bank_paid(self, payout: Payout, finance: Actor, maker: User) -> None:
        in_file(payout, finance)

        paying.confirm(payout, reference="BANK-77", by=finance, at=TENTH)

        payout.refresh_from_db()
        booked = Posting.objects.filter(entry=payout.entry).values_list("account", "amount_minor")
        assert dict(booked) == {"creator_payable": 4_000, "bank": -4_000}
        assert balance_of(payout.team_id, "USD").owed_minor == 0
        assert Notice.objects.filter(recipient=maker, text__contains="$40.00 were paid").count() == 1
        with pytest.raises(IllegalTransition):
            paying.confirm(payout, reference="BANK-77", by=finance, at=TENTH)
        with pytest.raises(DatabaseError), transaction.atomic():
            Payout.objects.update(amount_minor=1)

    def test_is_refused_before_it_was_sent(self, payout: Payout, finance: Actor) -> None:
        with pytest.raises(paying.NotSent):
            paying.confirm(payout, reference="BANK-77", by=finance, at=TENTH)


class TestStop:
    def test_holds_with_a_reason_and_lets_go(self, payout: Payout, finance: Actor) -> None:
        with pytest.raises(InvalidInput):
            paying.hold(payout, reason=" ", by=finance, at=TENTH)
        paying.hold(payout, reason="We ask about the account.", by=finance, at=TENTH)
        assert paying.approve([payout], by=finance, at=TENTH) == 0

        paying.release(payout, by=finance, at=TENTH)

        assert payout.state == "scheduled"

    def test_tries_a_failed_one_again_while_the_money_is_there(
        self, payout: Payout, finance: Actor, maker: User, studio: Team
    ) -> None:
        in_file(payout, finance)
        paying.fail(payout, reason="AC04: account closed", by=finance, at=TENTH)
        assert balance_of(studio.pk, "USD").free_minor == 4_000
        choose(studio, maker, replace(BANK, iban="NL91 ABNA 0417 1643 00"))

        paying.retry(payout, reason="New account.", by=finance, at=TENTH)

        payout.refresh_from_db()
        assert (payout.state, payout.attempts, payout.file_id, payout.is_approved) == (
            "scheduled",
            1,
            None,
            False,
        )
        assert payout.destination["iban"] == "NL91ABNA0417164300"

    def test_holds_what_is_not_covered_any_more(
        self, payout: Payout, finance: Actor, cast: Cast, studio: Team
    ) -> None:
        paying.approve_one(payout, by=finance, at=TENTH)
        received = Invoice.objects.get(kind="invoice").payments.get()
        settling.reverse_payment(received, amount_minor=100, reference="B-1", reason="Bounced.", at=TENTH)

        with pytest.raises(bank_files.NothingToPay):
            bank_files.make(currency="USD", execution_date=TENTH.date(), debtor=HOUSE, by=finance, at=TENTH)


class TestSend:
    def test_by_stripe_is_paid_once_and_fails_with_its_reason(
        self, cast: Cast, studio: Team, maker: User, finance: Actor
    ) -> None:
        pay(sell(studio, cast), finance)
        choose(studio, maker, plans.Choice(plans.Method.STRIPE, hold_days=0))
        (payout,) = paying.schedule_due(at=TENTH, terms=TERMS)
        sent: list[Payout] = []

        def refuse(one: Payout) -> str:
            sent.append(one)
            return "Your account is restricted."

        assert paying.send_due(at=TENTH, transfer=refuse) == 0
        paying.approve_one(payout, by=finance, at=TENTH)
        assert paying.send_due(at=TENTH, transfer=refuse) == 0

        payout.refresh_from_db()
        assert (len(sent), payout.state, payout.reason) == (1, "failed", "Your account is restricted.")


class TestChoose:
    @pytest.mark.parametrize(
        ("choice", "field"),
        [
            (replace(BANK, iban="DE89370400440532013001"), "iban"),
            (replace(BANK, holder=""), "holder"),
            (replace(BANK, bic="NONSENSE1"), "bic"),
            (replace(BANK, day=29), "day"),
            (replace(BANK, schedule="weekly", day=8), "day"),
            (replace(BANK, hold_days=91), "hold_days"),
            (replace(BANK, threshold_minor=-1), "threshold"),
            (replace(BANK, method="internal"), "method"),
        ],
    )
    def test_names_what_is_wrong(self, studio: Team, maker: User, choice: plans.Choice, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            choose(studio, maker, choice)

        assert refused.value.field == field

    def test_is_for_the_team(self, studio: Team, cast: Cast) -> None:
        for person in (cast.stranger, cast.finance, cast.creator):
            with pytest.raises(NotAllowed):
                choose(studio, person)

    @pytest.mark.parametrize(
        ("schedule", "day", "on", "last", "following"),
        [
            ("monthly", 10, date(2026, 11, 9), date(2026, 10, 10), date(2026, 11, 10)),
            ("monthly", 10, date(2026, 11, 10), date(2026, 11, 10), date(2026, 12, 10)),
            ("monthly", 28, date(2026, 3, 1), date(2026, 2, 28), date(2026, 3, 28)),
            ("weekly", 1, date(2026, 11, 15), date(2026, 11, 9), date(2026, 11, 16)),
        ],
    )
    def test_pays_on_its_days(self, schedule: str, day: int, on: date, last: date, following: date) -> None:
        plan = PayoutPlan(schedule=schedule, day=day)

        assert (plans.last_date(plan, on=on), plans.next_date(plan, after=on)) == (last, following)
