"""Which alerts to send when something turns bad or well again: pure, standard library only.

A condition is alerted once when it turns bad and once when it is well again. It counts as bad at the second look in a row,
so that a hiccup is no alert.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

LOOKS_BEFORE_ALERT = 2


class ObservedCondition(Protocol):
    """A condition as it was found; `text` says what is wrong and what to do, and holds no secret."""

    @property
    def name(self) -> str: ...
    @property
    def is_bad(self) -> bool: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class AlertPlan:
    """Conditions that have just been found bad, with their text; those well again; and the two cursors to choose from.

    `cursor` records them as alerted; `unsent_cursor` is for the case that sending failed, or that nobody knows whether it did.
    `number` counts the messages: news that are sent again have the number they had.
    """

    turned_bad: Mapping[str, str]
    turned_well: tuple[str, ...]
    cursor: str
    unsent_cursor: str
    number: int

    @property
    def is_news(self) -> bool:
        """Whether there is something to send."""
        return bool(self.turned_bad or self.turned_well)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What earlier looks found: bad looks in a row and whether it was alerted, by condition; when was last reported; how many
    messages were sent."""

    bad_looks: Mapping[str, int]
    alerted: frozenset[str]
    reported_ts: datetime | None
    sent_count: int = 0


def remembered(cursor: str | None) -> Memory:
    """The memory in a cursor; a cursor of another form counts as none."""
    try:
        kept = json.loads(cursor or "{}")
        reported = kept.get("reported_ts")
        return Memory(
            bad_looks={str(name): int(count) for name, count in kept.get("bad_looks", {}).items()},
            alerted=frozenset(map(str, kept.get("told", []))),
            reported_ts=None if reported is None else datetime.fromisoformat(reported),
            sent_count=int(kept.get("sent_count", 0)),
        )
    except (ValueError, TypeError, AttributeError):
        return Memory(bad_looks={}, alerted=frozenset(), reported_ts=None)


def plan_alerts(found: Sequence[ObservedCondition], memory: Memory, reported_ts: datetime | None) -> AlertPlan:
    """What to send after a look; `reported_ts` is kept in the cursor."""
    bad_looks = {each.name: memory.bad_looks.get(each.name, 0) + 1 for each in found if each.is_bad}
    texts = {each.name: each.text for each in found}
    turned_bad = {
        name: texts[name] for name, looks in bad_looks.items() if looks >= LOOKS_BEFORE_ALERT and name not in memory.alerted
    }
    turned_well = tuple(sorted(name for name in memory.alerted if name not in bad_looks))
    alerted = (memory.alerted | turned_bad.keys()) - set(turned_well)
    return AlertPlan(
        turned_bad=turned_bad,
        turned_well=turned_well,
        cursor=_cursor(bad_looks, alerted, reported_ts, memory.sent_count + bool(turned_bad or turned_well)),
        unsent_cursor=_cursor(bad_looks, memory.alerted, reported_ts, memory.sent_count),
        number=memory.sent_count + 1,
    )


def _cursor(bad_looks: Mapping[str, int], alerted: frozenset[str], reported_ts: datetime | None, sent_count: int) -> str:
    return json.dumps(
        {
            # More looks than needed change nothing, and a cursor that stays the same is easier to read.
            "bad_looks": {name: min(count, LOOKS_BEFORE_ALERT) for name, count in sorted(bad_looks.items())},
            "told": sorted(alerted),
            "reported_ts": None if reported_ts is None else reported_ts.isoformat(),
            "sent_count": sent_count,
        }
    )


def alert_message(plan: AlertPlan, installation: str, now: datetime) -> dict[str, object]:
    """One message for all news of a look: `text` for people, the rest for programs.

    Whoever gets a message of the same `id` again, after an answer that was lost, has it already.
    """
    lines = [f"finlake ({installation})"]
    lines += [f"BAD {name}: {text}" for name, text in plan.turned_bad.items()]
    lines += [f"well again: {name}" for name in plan.turned_well]
    return {
        "id": message_id(installation, plan.number, *sorted(plan.turned_bad), *plan.turned_well),
        "text": "\n".join(lines),
        "place": installation,
        "observed_ts": now.isoformat(),
        "turned_bad": dict(plan.turned_bad),
        "turned_well": list(plan.turned_well),
    }


def message_id(*parts: object) -> str:
    """A name for a message that is the same whenever it is sent again, and of no other."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]


def run_message(
    *,
    job: str,
    run_id: str,
    partitions: str,
    failed_steps: Sequence[str],
    installation: str,
    url: str,
) -> dict[str, object]:
    """The message about a failed run. It names where to look and repeats no error: a program's words may hold secrets."""
    over = f" over {partitions}" if partitions else ""
    steps = f"; failed steps: {', '.join(failed_steps)}" if failed_steps else ""
    link = f"{url.rstrip('/')}/runs/{run_id}"
    return {
        "text": f"finlake ({installation})\nBAD run of {job}{over} failed{steps}. See {link}",
        "id": message_id(installation, run_id),
        "place": installation,
        "job": job,
        "run_id": run_id,
        "partitions": partitions,
        "failed_steps": list(failed_steps),
        "url": link,
    }
