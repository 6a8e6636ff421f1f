"""What a file's name says."""

import pytest

from finlake_clients.stooq.file_names import vendor_code_of


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nvda_us_d.csv", "nvda.us"),
        ("brk-b_us_d.csv", "brk-b.us"),
        ("NVDA.US_d.csv", "nvda.us"),
        ("nvda_us_d (1).csv", "nvda.us"),
        ("nvda.us.txt", "nvda.us"),
        ("prices.csv", None),
        ("^spx_d.csv", "^spx"),
    ],
)
def test_the_code_is_in_the_file_name(name: str, code: str | None) -> None:
    assert vendor_code_of(name) == code
