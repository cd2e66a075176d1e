"""Reading and writing manifest files."""

import pytest

from marketplace.catalog import manifest_files
from marketplace.core.errors import InvalidInput


class TestRead:
    def test_takes_json_and_yaml_for_the_same(self) -> None:
        as_json = b'{"halfpenny": 1, "app": {"name": "A", "is_public": true}, "inputs": []}'
        as_yaml = b"# an app\nhalfpenny: 1\napp:\n  name: A\n  is_public: true\ninputs: []\n"

        assert manifest_files.read(as_json) == manifest_files.read(as_yaml)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("no", "no"),  # Norway is a country, not a truth value
            ("010", "010"),
            ("12:30", "12:30"),
            ("2026-11-01", "2026-11-01"),
            ("1_000", "1_000"),
            ("~", None),
            ("-5", -5),
            ("1e3", 1000.0),
        ],
    )
    def test_reads_a_plain_word_in_one_way_only(self, text: str, value: object) -> None:
        assert manifest_files.read(f"x: {text}".encode()) == {"x": value}

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"a: &x [1]\nb: *x\n", "line 1, column 4: anchors and aliases"),
            (b"a: !!python/object/apply:os.system ['true']\n", "the tag"),
            (b"a: 1\na: 2\n", "line 2, column 1: 'a' is there twice"),
            (b'{"a": 1, "a": 2}', "'a' is there twice"),
            (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
            (b'{"a": NaN}', "NaN is not a number of JSON"),
            (b"a: [1, 2\n", "line 2, column 1"),
            (b"- 1\n", "not an object"),
            (b"\xff\xfe", "not UTF-8"),
            (b"{" * 5_000, "line 1"),
            (b"a: " + b"[" * 5_000, "nested too deeply"),
            (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 60 deep"),
            (b'{"a": {"b": ["\\u0000"]}}', "a.b[0]: contains a character"),
            (b'{"a": "\\ud800"}', "a: contains a character"),
            (b'{"a": 1e99}', "a: is beyond"),
            (b"x" * (2 * 1024 * 1024 + 1), "more than 2,048 KiB"),
        ],
    )
    def test_says_where_a_file_cannot_be_read(self, data: bytes, words: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            manifest_files.read(data)

        assert words in refused.value.message


class TestWrite:
    @pytest.mark.parametrize("form", ["json", "yaml"])
    def test_gives_back_what_was_written(self, form: str) -> None:
        data = {
            "text": "First line\n  second\n",
            "odd": " leading\n\ttab\n\n",
            "looks": ["1", "1e3", "true", "null", "~", "", "-", "a: b", "# no", "é", "\u2028", "'", '"'],
            "numbers": [1, 1.5, -0.25],
            "empty": {},
            "none": None,
        }

        assert manifest_files.read(manifest_files.write(data, form=form).encode()) == data

    def test_shows_a_prompt_as_a_block(self) -> None:
        assert manifest_files.write({"p": "Line 1\nLine 2\n"}, form="yaml") == "p: |\n  Line 1\n  Line 2\n"
