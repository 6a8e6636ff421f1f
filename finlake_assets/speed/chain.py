"""The way of a trade as external assets: Postgres, change capture, topic, ClickHouse's table and the views over it.

No step of Dagster fills any of them.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.clickhouse_tables import clickhouse_spec
from spark.contracts import speed
from spark.contracts.streams import DEAD_LETTERS_TOPIC, HEARTBEAT, HEARTBEAT_TOPIC, STREAMS, TOPIC_PREFIX
from spark.contracts.table import Column, Table

GROUP = "speed"
OWNERS = ["team:finlake"]

CAPTURE = dg.AssetKey(["cdc", "market"])

# A heartbeat is written every ten seconds whatever the market does; looks are reported four times an hour.
HEARTBEAT_WINDOW = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=45), warn_window=timedelta(minutes=30))


def ods_key(relation: str) -> dg.AssetKey:
    """The asset of a table of schema `ods`."""
    return dg.AssetKey(["ods", relation])


def topic_key(topic: str) -> dg.AssetKey:
    """The asset of a topic: `finlake.dead_letters` is kafka/dead_letters."""
    return dg.AssetKey(["kafka", topic.removeprefix(f"{TOPIC_PREFIX}.").replace(".", "_")])


def build(*, is_watched: bool) -> list[dg.AssetSpec]:
    """All external assets of the stream; `is_watched` says whether a sensor reports them, so that they can be stale."""
    freshness = HEARTBEAT_WINDOW if is_watched else None
    return [
        *(_ods(each.name, each.summary, (speed.RECEIVED_TS, *each.id, *each.values)) for each in STREAMS),
        _ods(
            HEARTBEAT, "Signs of life that pass the whole way: one row each of the connector and of reconciliation.", _HEARTBEAT
        ),
        dg.AssetSpec(
            CAPTURE,
            description="Publication, replication slot and Debezium connector that turn commits into records, "
            "exactly once. While the connector rests, Postgres keeps the log for it.",
            group_name=GROUP,
            owners=OWNERS,
            kinds={"postgres", "kafka"},
            freshness_policy=freshness,
            deps=[ods_key(name) for name in (*(each.name for each in STREAMS), HEARTBEAT)],
            metadata={"dagster/column_schema": dg.TableSchema(columns=[])},
        ),
        *(_topic(each.topic, f"Changes of {each.market_table} in the order of commits.") for each in STREAMS),
        _topic(HEARTBEAT_TOPIC, "Signs of life.", freshness),
        _topic(
            DEAD_LETTERS_TOPIC,
            "Records that could not be read, with the reason in their headers; the stream went on.",
            sources=[topic_key(each.topic) for each in STREAMS],
        ),
        *(_table(each.realtime, "table", topic_key(each.topic)) for each in STREAMS),
        *(_table(table, "view") for table in (speed.CANDLES_1M, speed.WINDOWS_30S, speed.PRICE_VOLUME_15S, speed.ANOMALIES)),
    ]


_HEARTBEAT = (
    Column(name="id", type="int", note="Who gives the sign"),
    Column(name="ts", type="timestamp", unit="UTC", note="When it was given"),
)
_RECORD = (
    Column(name="key", type="string", nullable=True, note="Primary key of the row, as JSON"),
    Column(name="value", type="string", note="The change: before, after, source, op and times, as JSON"),
)


def _ods(relation: str, summary: str, columns: tuple[Column, ...]) -> dg.AssetSpec:
    return dg.AssetSpec(
        ods_key(relation),
        description=summary,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"postgres"},
        metadata={"dagster/table_name": f"market.ods.{relation}", "dagster/column_schema": _schema(columns)},
    )


def _topic(
    topic: str,
    summary: str,
    freshness: dg.FreshnessPolicy | None = None,
    *,
    sources: Sequence[dg.AssetKey] = (CAPTURE,),
) -> dg.AssetSpec:
    return dg.AssetSpec(
        topic_key(topic),
        description=summary,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"kafka"},
        deps=sources,
        freshness_policy=freshness,
        metadata={"dagster/table_name": topic, "dagster/column_schema": _schema(_RECORD)},
    )


def _table(table: Table, kind: str, *deps: dg.AssetKey) -> dg.AssetSpec:
    return clickhouse_spec(
        table, kinds=frozenset({kind}), deps=deps or tuple(asset_key(address) for address in table.input_addresses)
    )


def _schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=f"{column.note} [{column.unit}]" if column.unit else column.note,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )
