"""What the variables decide together."""

import pytest

from finlake_resources.environment import RawEnvironment
from finlake_resources.settings import settings_for


@pytest.mark.parametrize(("told", "expected"), [
    ({"sources": "sample"}, False), ({"sources": "live"}, True),
    ({"sources": "sample", "unattended": "1"}, True), ({"sources": "live", "unattended": "false"}, False),
])
def test_work_runs_unattended_with_live_sources_or_where_it_is_asked_for(told: dict[str, str], expected: bool) -> None:
    assert settings_for(RawEnvironment.model_validate(told)).runs_unattended is expected
