"""Which tables follow from the verdicts on downloads, and the command that builds them again."""

from datetime import date

from spark.contracts import lake, silver

VERDICTS = silver.PRICE_RESTATEMENTS.address


def following_verdicts() -> tuple[str, ...]:
    """Addresses of the tables by session and by month that hold or are computed from the verdicts, in order of layers."""
    followers = {VERDICTS, *lake.readers_of(VERDICTS)}
    return tuple(each for window in ("session", "month") for each in lake.of_window(window) if each in followers)


def rebuilding(first: date, last: date) -> str:
    """The command that judges the downloads again and shows the verdicts in the sessions from `first` to `last`."""
    selected = " ".join(f"--select {address.replace('.', '/')}" for address in following_verdicts())
    return f"finlake run --from {first} --to {last} {selected}"
