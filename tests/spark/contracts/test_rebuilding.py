"""The command that shows a decision builds everything that follows from it, and nothing else."""

from datetime import date

from finlake_cli.planned_runs import ASSETS_OF
from spark.contracts.lake import TABLES
from spark.contracts.rebuilding import following_verdicts, rebuilding
from spark.contracts.runs import BY_MONTH, BY_SESSION


def test_whatever_reads_a_table_that_is_built_again_is_built_again() -> None:
    built = set(following_verdicts())
    readers = {address for address, table in TABLES.items() if built & set(table.input_addresses)}
    # silver.quarantine is written by the steps themselves.
    assert readers - built == {"silver.quarantine"}
    assert {"silver.completeness", "gold.monthly_summary", "gold.ml_labels"} <= built
    assert not {"gold.news_daily", "bronze.stooq_prices"} & built


def test_the_command_selects_tables_that_a_run_can_build() -> None:
    words = rebuilding(date(2024, 1, 2), date(2024, 3, 1)).split()
    assert words[:6] == ["finlake", "run", "--from", "2024-01-02", "--to", "2024-03-01"]
    assert set(words[6::2]) == {"--select"}
    assert set(words[7::2]) <= {*ASSETS_OF[BY_SESSION], *ASSETS_OF[BY_MONTH]}
    assert len(words[7::2]) == len(following_verdicts())
