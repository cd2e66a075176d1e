import pytest

from marketplace.core.errors import (
    Conflict,
    FieldError,
    HalfpennyError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Unavailable,
)


class TestInvalidInput:
    def test_names_field_message_and_limit(self) -> None:
        error = InvalidInput("share", "is above one", limit=1)

        assert (error.field, error.limit, error.code) == ("share", "1", "invalid")
        assert str(error) == error.message == "share: is above one"

    def test_carries_several_fields(self) -> None:
        errors = [FieldError("a", "is missing", "required"), FieldError("b", "is negative", "negative", "0")]

        error = InvalidInput.several(errors)

        assert error.errors == tuple(errors)
        assert error.code == "invalid"
        assert str(error) == "a: is missing; b: is negative"

    def test_keeps_the_code_of_a_single_field(self) -> None:
        assert InvalidInput.several([FieldError("a", "is missing", "required")]).code == "required"

    def test_reads_without_field_for_the_whole_input(self) -> None:
        assert str(InvalidInput("", "must be an object")) == "must be an object"


class TestNotFound:
    def test_reads_the_same_whether_hidden_or_absent(self) -> None:
        error = NotFound("app", "where2eat")

        assert isinstance(error, NotAllowed)
        assert (error.kind, error.key, error.code) == ("app", "where2eat", "not_found")
        assert error.message == "There is no app 'where2eat' that you can see."


class TestUnavailable:
    def test_says_when_to_come_back(self) -> None:
        assert Unavailable("No database.", retry_after_s=2).retry_after_s == 2


class TestFamilies:
    @pytest.mark.parametrize("family", [InvalidInput, NotAllowed, Conflict, Unavailable])
    def test_have_one_base(self, family: type[HalfpennyError]) -> None:
        assert issubclass(family, HalfpennyError)

    def test_take_a_narrower_code(self) -> None:
        assert Conflict("It was decided already.", code="already_decided").code == "already_decided"
