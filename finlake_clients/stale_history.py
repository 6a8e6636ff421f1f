"""Published history that is older than what the accepted downloads say, in words and with the command that mends it."""

from finlake_clients.lake_client import LakeClient
from spark.contracts.rebuilding import rebuilding

MOST_NAMED = 5


def stale_history(jobs: LakeClient) -> str | None:
    """Which tickers were restated from when on, and what to run; None where prices show every restatement.

    A ticker that waits for a download of its whole history is no matter of a run.
    """
    pending = [each for each in jobs.pending_restatements() if not each.needs_whole_history]
    if not pending:
        return None
    since = {
        each.ticker: each.recompute_from_date for each in sorted(pending, key=lambda each: each.recompute_from_date, reverse=True)
    }
    named = ", ".join(f"{ticker} from {since[ticker]}" for ticker in sorted(since)[:MOST_NAMED])
    more = f" and {len(since) - MOST_NAMED} more" if len(since) > MOST_NAMED else ""
    first = min(since.values())
    _, last = jobs.shown_span(first, first)
    return f"published prices do not show yet what the newest files say of {named}{more}: {rebuilding(first, last)}"
