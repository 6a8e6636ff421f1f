"""Changed columns are taken once: the rule is suspended while they come, and in force again whatever happens."""

from typing import Any

import pytest

from finlake_clients.kafka.schema_registry import RegistryUnavailableError
from finlake_proofs.repair.accept_columns import ColumnsNotAcceptedError, accept
from spark.contracts.streams import TRADES


class Registry:
    """A registry that is asked for versions and answers from a script; its last answer stays."""

    def __init__(self, *answers: list[int] | Exception) -> None:
        self.answers = list(answers)
        self.told: list[str] = []

    def require(self, compatibility: str) -> None:
        self.told.append(compatibility)

    def versions(self, subject: str) -> list[int]:
        assert subject == "finlake.ods.finnhub_trades-value"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def accepted(registry: Any, within_s: float) -> int:
    return accept(registry, TRADES, lambda _: None, within_s=within_s)


def test_columns_that_come_are_taken_and_the_rule_is_in_force_again() -> None:
    registry = Registry([1], [1, 2])
    assert accepted(registry, within_s=5) == 2
    assert registry.told == ["NONE", "FULL"]


def test_the_rule_is_in_force_again_when_nothing_comes() -> None:
    registry = Registry([1])
    with pytest.raises(ColumnsNotAcceptedError, match="no new columns of ods.finnhub_trades"):
        accepted(registry, within_s=0)
    assert registry.told == ["NONE", "FULL"]


def test_the_rule_is_in_force_again_when_the_registry_dies_meanwhile() -> None:
    registry = Registry([1], RegistryUnavailableError("schema_registry", "somewhere", "it died"))
    with pytest.raises(RegistryUnavailableError):
        accepted(registry, within_s=5)
    assert registry.told == ["NONE", "FULL"]
