import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from marketplace.gateway.routing import difficulty, training, trees
from marketplace.gateway.routing.signs import NAMES, signs_of
from marketplace.gateway.routing.training import Verdict, apgr, curve, share_for

EASY = "What color is the sky on a sunny day? Answer in one word, please."
HARD = (
    "For which of these two scenarios does the main character (who uses I/me/my) do something clearly morally wrong? "
    "Scenario 1 | I hid the map. Scenario 2 | I told my friend the truth.\n"
    "A. Wrong, Wrong\nB. Wrong, Not wrong\nC. Not wrong, Wrong\nD. Not wrong, Not wrong"
)


def verdict(weak: bool, strong: bool, subject: str = "a", prompt: str = "x") -> Verdict:
    return Verdict(subject, prompt, weak, strong)


class TestSigns:
    def test_are_as_many_as_their_names(self) -> None:
        assert len(signs_of(HARD)) == len(NAMES) == len(set(NAMES))
        assert len(signs_of("")) == len(NAMES)

    def test_are_counted(self) -> None:
        signs = dict(zip(NAMES, signs_of("How many? NOT 3 of 10."), strict=True))

        assert (signs["question marks"], signs["NOT in capitals"], signs["how many"]) == (1, 1, 1)
        # Three of its 22 characters.
        assert signs["digits"] == pytest.approx(3 / 22)


class TestForest:
    def test_learns_what_differs(self) -> None:
        rows = [[float(at % 2), float(at)] for at in range(400)]
        forest = trees.train(rows, [row[0] for row in rows], trees=60)

        assert forest.score([1.0, 7.0]) > 0.9
        assert forest.score([0.0, 7.0]) < 0.1
        assert trees.from_json(json.loads(json.dumps(trees.to_json(forest)))).score(
            [1.0, 7.0]
        ) == pytest.approx(forest.score([1.0, 7.0]), abs=1e-3)

    def test_is_the_same_each_time(self) -> None:
        rows = [[float(at * 7 % 13), float(at * 5 % 11)] for at in range(300)]

        assert trees.train(rows, [row[0] for row in rows], trees=5) == trees.train(
            rows, [row[0] for row in rows], trees=5
        )


class TestJudge:
    def test_finds_some_prompts_harder(self) -> None:
        judge = difficulty.judge()
        easy, hard = judge.judge(EASY), judge.judge(HARD)

        assert easy is not None
        assert hard is not None
        assert easy.difficulty < 60 < hard.difficulty <= 100
        assert set(hard.because) <= set(NAMES)

    @pytest.mark.parametrize(
        "text", ["", "Hi", "天气怎么样？请告诉我明天会不会下雨，我应该穿什么衣服出门呢？谢谢", "x" * 8001]
    )
    def test_does_not_judge_what_it_does_not_know(self, text: str) -> None:
        assert difficulty.judge().judge(text) is None

    def test_asks_for_more_strong_calls_where_more_quality_is_wanted(self) -> None:
        thresholds = [difficulty.judge().threshold(quality) for quality in (70, 90, 95, 100)]

        assert thresholds == sorted(thresholds, reverse=True)
        # The weak model alone keeps 84 % of the strong one's quality: no call needs the strong one for 70 %.
        assert thresholds[0] == 100


class TestCurve:
    def test_goes_from_the_weak_to_the_strong_model(self) -> None:
        verdicts = [verdict(True, True), verdict(False, True), verdict(False, True), verdict(False, False)]
        # The second and third need the strong model; scores put them first.
        quality = curve([0.1, 0.9, 0.8, 0.0], verdicts)

        assert (quality[0], quality[25], quality[50], quality[100]) == (0.25, 0.5, 0.75, 0.75)
        # Four prompts: a step at 25 % and one at 50 %, of half the gap each, so 0.75 / 2 + 0.5 / 2, about.
        assert apgr(quality) == pytest.approx(0.625, abs=0.01)
        assert share_for(quality, 1.0) == 50
        assert share_for(quality, 0.3) == 0

    def test_of_chance_is_a_half(self) -> None:
        assert apgr([step / 100 for step in range(101)]) == pytest.approx(0.5)


class TestCommand:
    def test_needs_enough_verdicts(self, tmp_path: Path) -> None:
        trace = tmp_path / "few.csv"
        trace.write_text("subject,prompt,weak_correct,strong_correct\na,What is it?,1,0\n")

        assert training.read_verdicts(trace) == [Verdict("a", "What is it?", True, False)]
        with pytest.raises(CommandError, match="1000 are needed"):
            call_command("train_router", trace=trace, to=tmp_path / "weights.json")
