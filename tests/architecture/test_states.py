"""Who may write a state: ``core.transitions.move``, and a few conditional UPDATEs that say why they are apart."""

import ast
import re

from tests.architecture.sources import dotted, functions_around, sources

STATE_NAMES = {"state", "status"}
# The queue of jobs, and the outbox of notices, change rows by the thousand and are their own record; holds are ended many in one
# statement; the answer to an idempotent call has an HTTP status, also at the fake payment processor. A call of a smoke test is its own record, and stays once
# ended. Lines of a batch are thousands and their own record, which names the attempt that writes; runs in the background
# likewise. Kept events are ended by the thousand, under the lock of their inbox.
CONDITIONAL_UPDATES = {
    "billing.payments.fake.transport.FakeTransport._once",
    "marketplace.catalog.smoke_calls._end",
    "marketplace.core.jobs._give_up",
    "marketplace.core.jobs.take",
    "marketplace.core.jobs.cancel",
    "marketplace.core.jobs.retry",
    "marketplace.core.jobs._end",
    "marketplace.core.jobs._retry",
    "marketplace.core.transitions.move",
    "marketplace.gateway.async_runs.working._begin",
    "marketplace.gateway.async_runs.working._close",
    "marketplace.gateway.async_runs.working._make",
    "marketplace.gateway.batches.lines.begin",
    "marketplace.gateway.batches.lines.end",
    "marketplace.gateway.batches.lines.fail",
    "marketplace.gateway.batches.lines.keep",
    "marketplace.gateway.batches.lines.put_back",
    "marketplace.gateway.batches.lines.skip_waiting",
    "marketplace.gateway.idempotency._keep",
    "marketplace.gateway.outbox.channels._cancel_waiting",
    "marketplace.gateway.outbox.channels.send_again",
    "marketplace.gateway.outbox.delivering._end",
    "marketplace.gateway.outbox.delivering._put_off",
    "marketplace.gateway.outbox.delivering.claim",
    "marketplace.gateway.pools.tending._move",
    "metering.attribution_rules.dismiss",
    "metering.keeping._end",
    "quotas.holds._book",
}
IN_SQL = {"quotas.admission.settling.end_holds"}
# Values in memory, not rows: what became of a usage event, the HTTP status of an error.
RECEIPTS = {"metering.ingest._first_of_each", "metering.ingest.insert", "metering.ingest.place"}
SQL_UPDATE = re.compile(r"\bUPDATE\b.*\bSET\b(?:(?!\bFROM\b|\bWHERE\b).)*\b(state|status) *=", re.DOTALL)


class TestStates:
    def test_are_assigned_nowhere(self) -> None:
        """An assignment and a ``save`` would overwrite what another process has decided meanwhile."""
        writers = set()
        for source in sources():
            around = functions_around(source.tree)
            for node in ast.walk(source.tree):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                for target in targets if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) else ():
                    is_own = isinstance(target, ast.Attribute) and dotted(target.value) == "self"
                    if isinstance(target, ast.Attribute) and target.attr in STATE_NAMES and not is_own:
                        writers.add(f"{source.module}.{around.get(node, '')}")

        assert writers == RECEIPTS

    def test_are_updated_by_known_conditional_updates(self) -> None:
        writers = set()
        for source in sources():
            around = functions_around(source.tree)
            for call in source.calls():
                is_update = isinstance(call.func, ast.Attribute) and call.func.attr in (
                    "update",
                    "bulk_update",
                )
                if is_update and self._names(call) & STATE_NAMES:
                    writers.add(f"{source.module}.{around.get(call, '')}")

        assert writers == CONDITIONAL_UPDATES - {"marketplace.core.transitions.move"}

    def _names(self, call: ast.Call) -> set[str]:
        listed = [each for argument in call.args if isinstance(argument, ast.List) for each in argument.elts]
        return {str(keyword.arg) for keyword in call.keywords} | {
            str(each.value) for each in listed if isinstance(each, ast.Constant)
        }

    def test_are_updated_in_sql_in_one_place(self) -> None:
        writers = set()
        for source in sources():
            around = functions_around(source.tree)
            for node in ast.walk(source.tree):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and SQL_UPDATE.search(node.value)
                ):
                    writers.add(f"{source.module}.{around.get(node, '')}")

        assert writers == IN_SQL

    def test_move_through_a_table(self) -> None:
        """Every call of ``move`` names a table of transitions as its second argument."""
        moves = [
            (source, call)
            for source in sources()
            for call in source.calls()
            if dotted(call.func) in ("transitions.move", "move")
        ]

        assert len(moves) > 5
        assert [
            source.at(call) for source, call in moves if not dotted(call.args[1]).rsplit(".", 1)[-1].isupper()
        ] == []
