"""Fingerprints of findings: they stay with the finding, and no two findings share one."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.scans.findings import Found, effective_state, fingerprints, state_of

TEXT = st.text(max_size=12)
FOUND = st.builds(
    Found,
    rule=st.sampled_from(["bandit.B602", "secrets.key", "x"]),
    severity=st.sampled_from(["info", "low", "medium", "high", "critical"]),
    place=TEXT,
    message=TEXT,
    identity=TEXT,
    line=st.none() | st.integers(1, 999),
)
FINDINGS = st.lists(FOUND, max_size=12)


@given(FINDINGS)
def test_no_two_findings_of_a_check_share_one(findings: list[Found]) -> None:
    assert len(set(fingerprints("code", findings))) == len(findings)


@given(FINDINGS, st.integers(0, 500), st.sampled_from([" ", "\t", "  \n"]))
def test_moved_lines_other_words_and_white_space_keep_them(
    findings: list[Found], down: int, space: str
) -> None:
    moved = [
        Found(
            one.rule,
            "low",
            one.place,
            "said otherwise",
            f"{space}{one.identity}{space}",
            (one.line or 0) + down,
        )
        for one in findings
    ]

    assert fingerprints("code", moved) == fingerprints("code", findings)


@given(FINDINGS, st.randoms(use_true_random=False))
def test_their_set_does_not_depend_on_the_order(findings: list[Found], random: object) -> None:
    shuffled = list(findings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert set(fingerprints("code", shuffled)) == set(fingerprints("code", findings))


@given(FOUND)
def test_another_check_gives_another_one(one: Found) -> None:
    assert fingerprints("code", [one]) != fingerprints("secrets", [one])


@given(FINDINGS, FOUND)
def test_one_more_finding_leaves_those_of_the_others(findings: list[Found], more: Found) -> None:
    assert fingerprints("code", [*findings, more])[: len(findings)] == fingerprints("code", findings)


@given(FINDINGS, st.sets(st.integers(0, 11)))
def test_a_waiver_never_makes_a_check_worse(findings: list[Found], chosen: set[int]) -> None:
    order = ["passed", "warned", "failed"]
    prints = fingerprints("code", findings)
    state = state_of(one.severity for one in findings)
    pairs = [(mark, one.severity) for mark, one in zip(prints, findings, strict=True)]
    waived = {mark for index, mark in enumerate(prints) if index in chosen}

    assert order.index(effective_state(state, pairs, waived=waived)) <= order.index(state)
    assert effective_state("could_not_check", pairs, waived=waived) == "could_not_check"
