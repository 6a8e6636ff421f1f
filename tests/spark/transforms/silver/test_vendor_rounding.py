"""How exactly a printed price is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.transforms.silver.vendor_rounding import agree, resolution, resolution_of_file


@pytest.mark.parametrize(
    ("price", "unit"),
    [
        (182.81, 0.01),
        (182.639, 0.001),
        (45.1234, 0.0001),
        (0.0376018, 1e-7),
        (0.0376, 1e-5),
        (183.0, 0.01),
        (10.5, 0.01),
        (0.04, 1e-5),  # zeros may have been dropped
        (45.12345678901, 0.0001),  # more than six digits are another program's artefact
        (12345.6, 0.1),
        (699000.0, 1.0),
        (1e-12, 1e-15),
    ],
)
def test_the_unit_is_read_off_the_digits(price: float, unit: float) -> None:
    assert resolution(np.array([price]))[0] == pytest.approx(unit, rel=1e-12)


@given(price=st.floats(1e-4, 1e5))
def test_printing_with_six_digits_moves_a_price_by_less_than_its_unit(price: float) -> None:
    printed = np.array([float(f"{price:.6g}")])
    assert abs(printed[0] - price) <= resolution(printed)[0]
    assert agree(printed, np.array([price]))[0]


@given(price=st.floats(1.0, 9e3), cents=st.integers(5, 1000))
def test_prices_five_cents_apart_do_not_agree(price: float, cents: int) -> None:
    quote = round(price, 2)
    assert not agree(np.array([quote]), np.array([quote + cents / 100]))[0]


def test_a_file_of_four_decimals_knows_its_cheap_prices_to_four_decimals() -> None:
    prices = np.array([[0.0523, 0.06, 0.0519, 0.1], [0.0041, 0.0523, 1.25, 45.1234]])
    units = [[1e-4, 1e-4, 1e-4, 1e-4], [0.0041 / 100, 1e-4, 0.01, 1e-4]]
    assert resolution_of_file(prices) == pytest.approx(np.array(units))
    of_six_digits = np.array([0.0523, 0.0523417, 0.0519333])
    assert resolution_of_file(of_six_digits) == pytest.approx(resolution(of_six_digits))


def test_a_stray_price_of_six_digits_does_not_make_a_file_of_four_decimals_another() -> None:
    prices = np.round(np.linspace(0.02, 0.09, 400), 4)
    moved = prices.copy()
    moved[7] = 0.0234567
    assert resolution_of_file(prices)[[3, 300]] == pytest.approx([1e-4, 1e-4])
    assert resolution_of_file(moved)[[3, 7, 300]] == pytest.approx([1e-4, 1e-7, 1e-4])
