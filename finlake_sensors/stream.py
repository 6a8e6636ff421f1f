"""Ranges of offsets that Kafka holds and the archive does not: each is archived and carried to its candles in one run."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_resources.resources import KafkaResource, LakeResource
from finlake_sensors.plans import ArchivePlan, Backlog, Skip, backlogs, midnight_after, oldest_day, plan_archive
from finlake_sensors.restatements import IN_FLIGHT
from spark.contracts import lake
from spark.contracts.runs import STREAM_ARCHIVE
from spark.contracts.streams import BY_CHANGES

TOPIC_TAG = "finlake/topic"
CHAINS: Mapping[str, tuple[str, ...]] = {
    changes: (changes, *(name for name in lake.of_window("stream_day") if name in lake.readers_of(changes)))
    for changes in BY_CHANGES
}
"""What a range of a topic fills, by the table that archives it."""


def build(default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor over the topics of the stream."""

    @dg.sensor(
        name="stream_ranges",
        job_name=STREAM_ARCHIVE,
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Requests one run per topic for the offsets that Kafka holds and the archive does not.",
    )
    def stream_ranges(context: dg.SensorEvaluationContext, jobs: LakeResource, kafka: KafkaResource) -> dg.SensorResult:
        """The archive's own place is asked of the lake: a run that fails leaves no hole behind."""
        cursors = json.loads(context.cursor) if context.cursor else {}
        requests, reasons = [], []
        for address, captured in BY_CHANGES.items():
            topic = captured.topic
            plan, found, recreated = _look(context, jobs, kafka, address, cursors.get(topic))
            cursors[topic] = plan.cursor
            for partition, backlog in found.items():
                if backlog.gone_from is not None:
                    context.log.error(
                        f"{topic}:{partition}: offsets {backlog.gone_from} to {backlog.first} were deleted before "
                        "they were archived; the next run records the gap and goes on"
                    )
            if recreated:
                context.log.error(
                    f"{topic}: partitions {recreated} end before the archive does: the topic was made anew; "
                    "run stream_archive by hand to read what to do"
                )
            if isinstance(plan.decision, Skip):
                reasons.append(plan.decision.reason)
            else:
                requests.append(_request(address, topic, plan))
        cursor = json.dumps(cursors, sort_keys=True)
        if not requests:
            return dg.SensorResult(skip_reason="; ".join(reasons), cursor=cursor)
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return stream_ranges


def _look(
    context: dg.SensorEvaluationContext,
    jobs: LakeResource,
    kafka: KafkaResource,
    address: str,
    cursor: str | None,
) -> tuple[ArchivePlan, dict[int, Backlog], list[int]]:
    """What to do about a topic, its backlogs, and its partitions that were recreated."""
    topic, now = BY_CHANGES[address].topic, datetime.now(UTC)
    # First: a run that ends while the rest is asked has moved the archive by then.
    running = context.instance.get_runs(
        dg.RunsFilter(job_name=STREAM_ARCHIVE, statuses=IN_FLIGHT, tags={TOPIC_TAG: topic}), limit=1
    )
    archived = {partition: end for (name, partition), end in jobs.archive_positions(address).items() if name == topic}
    found, recreated = backlogs(kafka.watermarks(topic), archived)
    appended = {partition: kafka.first_appended(topic, partition, backlog.first) for partition, backlog in found.items()}
    day_ends = kafka.offsets_at(topic, midnight_after(oldest_day(appended, now))) if found else {}
    plan = plan_archive(topic, found, appended, day_ends, cursor, now=now, is_running=bool(running))
    return plan, found, recreated


def _request(address: str, topic: str, plan: ArchivePlan) -> dg.RunRequest:
    if isinstance(plan.decision, Skip) or plan.day is None:
        raise TypeError(f"{topic}: a plan without ranges is no request")
    ranges = {str(partition): [first, end] for partition, (first, end) in plan.decision.items()}
    op = address.replace(".", "__")
    return dg.RunRequest(
        run_key=plan.key,
        partition_key=plan.day.isoformat(),
        run_config={"ops": {op: {"config": {"ranges": ranges}}}},
        asset_selection=[asset_key(name) for name in CHAINS[address]],
        tags={"finlake/cause": "stream", TOPIC_TAG: topic},
    )
