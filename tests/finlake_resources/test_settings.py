"""What the variables decide together."""

import pytest

from tests.conftest import SettingsOf


@pytest.mark.parametrize(("sources", "told", "expected"), [
    ("sample", {}, False), ("live", {}, True),
    ("sample", {"unattended": "1"}, True), ("live", {"unattended": "false"}, False),
])
def test_work_runs_unattended_with_live_sources_or_where_it_is_asked_for(
    settings_of: SettingsOf, sources: str, told: dict[str, str], expected: bool,  # noqa: FBT001 - a value of the table
) -> None:
    assert settings_of("local", sources, **told).runs_unattended is expected  # type: ignore[arg-type]
