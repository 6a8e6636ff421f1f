"""The sessions and tables that the tests of runs on the stack build."""

from datetime import date

from spark.contracts.report import Window

BY_SESSION = "lake_by_session"
SPAN = ["2018-03-20", "2018-03-21", "2018-03-22", "2018-03-23", "2018-03-26"]
LAST = "2018-03-27"
WINDOW = Window(start=date.fromisoformat(SPAN[0]), end=date.fromisoformat(SPAN[-1]))
PRICES, INDICATORS = "silver.prices_daily", "gold.indicators"
