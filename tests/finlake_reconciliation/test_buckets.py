"""The numbers that all engines have to agree on."""

from fractions import Fraction
from math import nan

from hypothesis import given
from hypothesis import strategies as st

from finlake_reconciliation.buckets import US_PER_HOUR, Bucket, Content, Tally, by_day, id_hash, units
from spark.contracts.column_sums import UNITS_LIMIT


def test_an_id_has_the_hash_of_its_first_60_bits() -> None:
    # RFC 1321, A.5: MD5("abc") = 900150983cd24fb0d6963f7d28e17f72
    assert f"{id_hash('abc'):x}" == "900150983cd24fb"


def test_halves_of_a_unit_go_to_the_even_neighbour() -> None:
    # 2^-9 has 195,312.5 units, exactly.
    assert [units(sign * times / 512) for sign in (1, -1) for times in (1, 3)] == [195_312, 585_938, -195_312, -585_938]


def test_numbers_that_no_engine_converts_exactly_count_nothing() -> None:
    assert [units(number) for number in (1e11, -1e300, float("inf"), nan)] == [0, 0, 0, 0]


@given(st.floats(min_value=-9e10, max_value=9e10))
def test_a_number_in_units_is_no_more_than_half_a_unit_from_its_product(number: float) -> None:
    assert abs(Fraction(number * 1e8) - units(number)) <= Fraction(1, 2)
    assert abs(units(number)) <= UNITS_LIMIT


def test_a_bucket_holds_an_hour_of_utc_of_one_symbol() -> None:
    tally = Tally()
    for number, received_us in enumerate((0, US_PER_HOUR - 1, US_PER_HOUR)):
        tally.add(f"c:{number}:0", "AAPL", received_us, Content((2, 3), 10 - number))
    first = tally.buckets()[Bucket("AAPL", 0)]
    assert (first.row_count, first.number_sums, first.first_event_us, first.last_event_us) == (2, (4, 6), 9, 10)
    assert first.id_hash_sum == id_hash("c:0:0") + id_hash("c:1:0")
    assert Bucket("AAPL", 25).hour_ts.isoformat() == "1970-01-02T01:00:00+00:00"
    assert by_day(tally.buckets()) == {0: (3, sum(id_hash(f"c:{number}:0") for number in range(3)))}
