"""What cannot be looked into is not taken for good."""

from collections.abc import Mapping
from typing import cast

import pytest

from finlake_services.clickhouse_local.engine import EngineConnection, Result
from finlake_services.clickhouse_local.errors import EngineError
from finlake_services.clickhouse_local.syntax_tree import may_be_forged

# A name in quotes, and a line break that stands outside of it: only the engine can tell which is which.
ASKED = 'SELECT "name"\nFROM trades'


class Failing:
    """A connection on which every statement fails with these words of the engine."""

    def __init__(self, text: str) -> None:
        self._text = text

    def query(self, sql: str, output_format: str = "Null", params: Mapping[str, str] | None = None) -> Result:
        raise EngineError(self._text)


def failing(text: str) -> EngineConnection:
    return cast(EngineConnection, Failing(text))


@pytest.mark.parametrize(
    "text", ["Code: 167. DB::Exception: AST is too deep", "Code: 241. DB::Exception: Memory limit exceeded", "no code at all"]
)
def test_a_statement_whose_names_are_not_known_is_not_let_through(text: str) -> None:
    with pytest.raises(EngineError):
        may_be_forged(failing(text), ASKED, {})


def test_a_kind_of_statement_that_the_engine_has_no_json_of_passes() -> None:
    text = "Code: 36. DB::Exception: AST node of type 'GrantQuery' does not support JSON serialization"
    assert may_be_forged(failing(text), ASKED, {}) is False
