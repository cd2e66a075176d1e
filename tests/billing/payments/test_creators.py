import pytest
from django.db import DatabaseError, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing.ledger import chart
from billing.ledger.journal import Leg
from billing.models import ConnectedAccount, JournalEntry, Transfer
from billing.payments import accounts, transfers
from billing.payments.fake import accounts as fake_accounts
from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.processor import Processor, ProcessorAway
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from tests.billing.payments.conftest import AT
from tests.billing.test_close import accounts as booked
from tests.conftest import Cast


@pytest.fixture
def creator(cast: Cast) -> Actor:
    return actor_for(cast.creator)


@pytest.fixture
def account(cast: Cast, creator: Actor) -> ConnectedAccount:
    return accounts.open_account(cast.creator_team, country="US", by=creator, at=AT)


def onboard(
    account: ConnectedAccount, fake: FakeTransport, processor: Processor, *, is_complete: bool = True
) -> None:
    account_id = accounts.known(account, processor=processor)
    fake_accounts.tell_all(fake.world(), account_id, is_complete=is_complete)
    accounts.refresh(account, processor=processor, at=AT)


def top_up(processor: Processor, amount_minor: int = 100_000) -> None:
    processor.write("topups.create", key=f"top-up-{amount_minor}", amount=amount_minor, currency="usd")


class TestAccount:
    def test_is_opened_once_and_known_once(
        self, cast: Cast, creator: Actor, account: ConnectedAccount, fake: FakeTransport, processor: Processor
    ) -> None:
        again = accounts.open_account(cast.creator_team, country="DE", by=creator, at=AT)
        fake.faults.append(Fault("reset", "accounts", is_after=True))
        with pytest.raises(ProcessorAway):
            accounts.known(account, processor=processor)
        accounts.known(account, processor=processor)

        assert (again, again.country) == (account, "US")
        assert len(fake.world().listed("account")) == 1

    def test_is_ready_when_everything_is_told(
        self, creator: Actor, account: ConnectedAccount, fake: FakeTransport, processor: Processor
    ) -> None:
        url = accounts.onboarding_url(
            account, refresh_url="https://example.test/", return_url="https://example.test/", processor=processor,
            by=creator, at=AT,
        )  # fmt: skip
        accounts.refresh(account, processor=processor, at=AT)
        assert (account.state, len(account.missing)) == ("incomplete", 4)
        assert url.startswith(f"/payments/fake/onboarding/{account.account_id}/")

        onboard(account, fake, processor, is_complete=False)
        assert (account.state, account.missing) == ("restricted", ["external_account"])

        onboard(account, fake, processor)
        assert (account.state, account.missing) == ("ready", [])

    def test_is_for_creators_of_the_team(
        self, cast: Cast, account: ConnectedAccount, processor: Processor
    ) -> None:
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                accounts.open_account(cast.creator_team, country="US", by=actor_for(person), at=AT)


def send(cast: Cast, processor: Processor, key: str = "payout:1", amount_minor: int = 6_400) -> Transfer:
    return transfers.transfer(
        cast.creator_team,
        key=key,
        amount_minor=amount_minor,
        currency="USD",
        memo="Payout",
        processor=processor,
        at=AT,
    )


class TestTransfer:
    @pytest.fixture(autouse=True)
    def ready(self, account: ConnectedAccount, fake: FakeTransport, processor: Processor) -> None:
        onboard(account, fake, processor)
        top_up(processor)

    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    def test_is_sent_and_booked_once(
        self, cast: Cast, fake: FakeTransport, processor: Processor, is_after: bool
    ) -> None:
        fake.faults.append(Fault("timeout", "transfers", is_after=is_after))
        with pytest.raises(ProcessorAway):
            send(cast, processor)

        sent = [send(cast, processor) for _ in range(2)]

        assert {one.state for one in sent} == {"done"}
        assert len(fake.world().listed("transfer")) == 1
        assert booked() == {"creator_payable": 6_400, "processor_balance": -6_400}
        with pytest.raises(transfers.TransferKeyReused):
            send(cast, processor, amount_minor=1)

    def test_that_the_balance_does_not_cover_fails_with_its_reason(
        self, cast: Cast, processor: Processor
    ) -> None:
        sent = send(cast, processor, amount_minor=100_001)

        assert (sent.state, "insufficient" in sent.failure) == ("failed", True)
        assert not JournalEntry.objects.exists()

    def test_takes_other_postings(self, cast: Cast, processor: Processor) -> None:
        leg = Leg(chart.BANK, 6_400, "USD")

        transfers.transfer(
            cast.creator_team, key="k", amount_minor=6_400, currency="USD", memo="Payout", processor=processor, at=AT,
            debits=[leg],
        )  # fmt: skip

        assert booked() == {"bank": 6_400, "processor_balance": -6_400}

    def test_comes_back_in_parts_and_never_more_than_it_was(
        self, cast: Cast, fake: FakeTransport, processor: Processor
    ) -> None:
        sent = send(cast, processor)
        fake.faults.append(Fault("server_error", "reversals", is_after=True))
        with pytest.raises(ProcessorAway):
            transfers.reverse(sent, key="r1", amount_minor=6_000, processor=processor, at=AT)
        for _ in range(2):
            transfers.reverse(sent, key="r1", amount_minor=6_000, processor=processor, at=AT)

        with pytest.raises(InvalidInput, match=r"at most \$4\.00"):
            transfers.reverse(sent, key="r2", amount_minor=401, processor=processor, at=AT)
        rest = transfers.reverse(sent, key="r2", processor=processor, at=AT)

        assert rest.amount_minor == 400
        assert booked() == {"creator_payable": 0, "processor_balance": 0}

    def test_amount_stays(self, cast: Cast, processor: Processor) -> None:
        sent = send(cast, processor)

        with pytest.raises(DatabaseError, match="asked_transfer_stays"), transaction.atomic():
            Transfer.objects.filter(pk=sent.pk).update(amount_minor=1)


class TestUnreadyAccount:
    def test_is_paid_nothing(self, cast: Cast, account: ConnectedAccount, processor: Processor) -> None:
        with pytest.raises(transfers.NoConnectedAccount):
            send(cast, processor)

        assert not Transfer.objects.exists()


class TestStateOf:
    @given(st.booleans(), st.booleans(), st.booleans(), st.lists(st.text(min_size=1), max_size=2))
    def test_is_ready_only_when_money_can_get_through(
        self, can_receive: bool, can_pay_out: bool, is_told: bool, missing: list[str]
    ) -> None:
        found = {
            "capabilities": {"transfers": "active" if can_receive else "pending"},
            "payouts_enabled": can_pay_out,
            "details_submitted": is_told,
        }

        state = accounts._state_of(found, missing)

        assert (state == "ready") == (can_receive and can_pay_out)
