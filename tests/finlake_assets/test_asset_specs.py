"""What a contract becomes in words."""

from dataclasses import replace

from finlake_assets.asset_specs import asset_key, asset_spec, code_version, contract_of, description_of
from spark.contracts import gold, silver


def test_description_tells_grain_notes_and_promises() -> None:
    text = description_of(silver.PRICES_DAILY)
    assert text.startswith(silver.PRICES_DAILY.summary)
    assert "**Grain:** `ticker`, `session_date`" in text
    assert silver.PRICES_DAILY.notes[0] in text
    assert "| `high_is_highest` | error |" in text


def test_code_version_changes_with_the_contract_and_differs_between_tables() -> None:
    assert code_version(gold.INDICATORS) != code_version(replace(gold.INDICATORS, notes=("another",)))
    assert code_version(gold.INDICATORS) != code_version(gold.ML_LABELS)
    assert code_version(gold.INDICATORS) == code_version(replace(gold.INDICATORS))


def test_a_table_can_be_found_by_its_asset() -> None:
    assert contract_of(asset_key("gold.indicators")) is gold.INDICATORS


def test_tables_without_sources_have_no_lineage() -> None:
    assert "dagster/column_lineage" not in asset_spec(silver.QUARANTINE).metadata
