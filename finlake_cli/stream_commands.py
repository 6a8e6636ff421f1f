"""Commands about the stream: reconcile, latency, chaos, replay, accept-columns."""

from pathlib import Path
from typing import Annotated

import typer

from finlake_cli.lake_commands import stack_settings
from finlake_cli.progress import dimmed
from finlake_cli.stack_commands import DEFAULT_HOME, Home
from finlake_settings.declaration import StreamFormat
from spark.contracts.engine import Engine
from spark.contracts.streams import DEAD_LETTERS_TOPIC, QUOTES, STREAMS, TRADES

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def reconcile(
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for Kafka and the sink to catch up.")] = 60,
    drop_proven: Annotated[
        bool, typer.Option("--drop-proven", help="Drop from Postgres the whole days found in the archive.")
    ] = False,
    lake: Annotated[bool, typer.Option("--lake/--no-lake", help="Compare Iceberg too.")] = True,
) -> None:
    """Compare Postgres, Kafka, ClickHouse and Iceberg. Up to one LSN; exit code 1 unless nothing is lost or doubled.

    Past UTC days that the archive holds completely are recorded as proven.
    """
    from rich.console import Console

    from finlake_cli import reconcile_view
    from finlake_clients.lake_client import LakeClient
    from finlake_reconciliation.reconcile import Reconciliation

    settings = stack_settings(home)
    report = Reconciliation.of(settings).run(
        LakeClient.of(settings) if lake else None, wait_s=wait, proves_days=True, drops_proven=drop_proven
    )
    if as_json:
        typer.echo(reconcile_view.as_json(report))
    else:
        reconcile_view.show(report, Console(), is_unattended=settings.unattended)
    if not report.is_proven:
        raise typer.Exit(1)


@app.command()
def latency(
    home: Home = DEFAULT_HOME,
    window: Annotated[str, typer.Option(help="How far back, like 30s, 5m or 2h.")] = "5m",
) -> None:
    """Show how long trades took from hop to hop. Read from the rows that ClickHouse inserted lately."""
    from rich.console import Console

    from finlake_clients.clickhouse.connection import reader
    from finlake_proofs.bench.hops import clock_remarks, duration, hops_table, measured_hops

    seconds = int(duration(window).total_seconds())
    with reader(stack_settings(home).clickhouse) as client:
        hops = measured_hops(client, "inserted_ts > now64(6) - toIntervalSecond({seconds:UInt32})", {"seconds": seconds})
    console = Console()
    if not hops.row_count:
        console.print(f"no trade was inserted within {window}; is the feed running? See `finlake status`")
        raise typer.Exit(1)
    console.print(hops_table(hops, f"{hops.row_count} trades inserted within {window}"))
    for line in clock_remarks(hops):
        console.print(line, style="dim", highlight=False, soft_wrap=True)


@app.command()
def chaos(
    kills: Annotated[int, typer.Option(min=1, help="How many processes to kill.")],
    seed: Annotated[int, typer.Option(help="The same seed kills the same targets in the same order.")] = 0,
    seconds_between: Annotated[float, typer.Option(min=0, help="Mean pause between kills.")] = 5.0,
    dagster: Annotated[bool, typer.Option("--dagster/--no-dagster", help="Kill Dagster's daemon and runs too.")] = True,
    groups: Annotated[bool, typer.Option("--groups/--no-groups", help="Kill two or three at once now and then.")] = True,
    during_up: Annotated[bool, typer.Option("--during-up/--no-during-up", help="Kill while `finlake up` runs.")] = True,
    longest_freeze_s: Annotated[float, typer.Option(min=0, help="Longest standstill of one process or all; 0: none.")] = 75.0,
    full_disks: Annotated[
        bool,
        typer.Option(
            "--full-disks/--no-full-disks",
            help="Let each engine's disk be full for a while; root alone, in a stack of its own.",
        ),
    ] = True,
    engine: Annotated[
        Engine, typer.Option(help="What computes the lake of a stack of its own; with spark that may die in a run too.")
    ] = "embedded",
    stream_format: Annotated[
        StreamFormat,
        typer.Option(
            "--format",
            help="What the connector of a stack of its own writes; with avro the schema registry may die too.",
        ),
    ] = "json",
    home: Annotated[Path | None, typer.Option(help="A running stack to kill in. Default: one of its own.")] = None,
    jars: Annotated[Path, typer.Option(help="Downloaded jars for a stack of its own.")] = DEFAULT_HOME / "jars",
) -> None:
    """Kill processes while trades flow, then compare the engines. Exit code 1 unless nothing is lost or doubled.

    Processes are frozen and disks filled too. It takes a pause of --seconds-between for each kill, up to --longest-freeze-s for
    each freeze, and minutes to compare.
    Without --home in a temporary stack, which is removed again but for its logs when it fails. The plan is shown first.
    """
    from contextlib import nullcontext

    from rich.console import Console

    from deploy.local.ending_signals import ended_like_ctrl_c
    from finlake_cli import reconcile_view
    from finlake_cli.stack_commands import running_stack
    from finlake_proofs.bench.temporary_lake import temporary_stack
    from finlake_proofs.chaos.plan import DISKS, Mix
    from finlake_proofs.chaos.run import Options, run_chaos, show_plan
    from finlake_proofs.chaos.small_disks import can_mount, small_disks

    console = Console()
    report = dimmed(console)
    disks = DISKS if full_disks and home is None and can_mount() else ()
    if full_disks and not disks:
        report("no disk becomes full: that takes root, the right to mount, and a stack of its own")
    if home is not None:
        settings = running_stack(home).settings()
        stream_format, engine = "avro" if settings.writes_avro else "json", "spark" if settings.uses_spark else "embedded"
    mix = Mix(has_groups=groups, has_kills_during_up=during_up, longest_freeze_s=longest_freeze_s, disks=disks)
    options = Options(
        kills=kills,
        seed=seed,
        seconds_between=seconds_between,
        has_dagster=dagster,
        engine=engine,
        avro=stream_format == "avro",
        mix=mix,
    )
    show_plan(options, report)
    with ended_like_ctrl_c():
        own = temporary_stack(
            jars,
            options.services,
            report,
            {"FINLAKE_STREAM_FORMAT": stream_format, "FINLAKE_ENGINE": engine},
            around=lambda layout: small_disks(layout, disks),
        )
        with own if home is None else nullcontext(running_stack(home)) as stack:
            outcome = run_chaos(stack, options, report)
    console.print(reconcile_view.kills_table(outcome))
    console.print(reconcile_view.engines_table(outcome.comparison))
    console.print(reconcile_view.derived_table(outcome.comparison))
    for line in reconcile_view.remarks(outcome.comparison):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        outcome.verdict, style="bold green" if outcome.is_survived else "bold red", highlight=False, markup=False, soft_wrap=True
    )
    if not outcome.is_survived:
        raise typer.Exit(1)


@app.command()
def replay(
    topic: Annotated[str, typer.Argument(help=f"{TRADES.topic}, {QUOTES.topic} or {DEAD_LETTERS_TOPIC}.")],
    start: Annotated[str, typer.Option("--from", help="First offset, or a UTC time like 2026-11-21T14:30:00.")],
    end: Annotated[str, typer.Option("--to", help="Offset or UTC time of the end, which is not part of the range.")],
    archive: Annotated[bool, typer.Option("--archive/--no-archive", help="Archive the range too; no-op when it is.")] = True,
    home: Home = DEFAULT_HOME,
) -> None:
    """Read a range of a topic again. ClickHouse gets what is missing there; what is there is not doubled.

    For finlake.dead_letters the records that could not be read are tried again, after a correction of the code.
    """
    from finlake_clients.kafka.topics import KafkaTopics
    from finlake_clients.lake_client import LakeClient
    from finlake_proofs.repair.archived_range import archive_spans
    from finlake_proofs.repair.replay import replay, spans

    settings = stack_settings(home)
    topics = KafkaTopics.of(settings.kafka)
    ranges = spans(topics, topic, start, end)
    done = replay(settings.clickhouse, topics, ranges)
    for span in ranges:
        typer.echo(f"{span.partition} offsets {span.first} to {span.end - 1}")
    typer.echo(
        f"{done.read} records read, {done.already_there} rows already there, {done.added} added"
        + "".join(
            f", {count} {what}"
            for what, count in (
                ("updates or deletes", done.not_rows),
                ("still unreadable", done.unreadable),
                ("no longer held anywhere", done.unreachable),
            )
            if count
        )
    )
    if archive:
        for line in archive_spans(LakeClient.of(settings), topics, ranges):
            typer.echo(line)
    if done.unreadable or done.unreachable:
        raise typer.Exit(1)


@app.command("accept-columns")
def accept_columns(
    table: Annotated[str, typer.Argument(help="finnhub_trades or finnhub_quotes.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Take columns that the schema registry refused.

    See docs/incompatible-columns.md.
    """
    from finlake_clients.kafka.schema_registry import registry_of
    from finlake_proofs.repair.accept_columns import accept

    registry = registry_of(stack_settings(home).kafka)
    wanted = next((each for each in STREAMS if each.name == table), None)
    if wanted is None or registry is None:
        typer.echo(
            f"there is no captured table {table}; name one of {', '.join(each.name for each in STREAMS)}"
            if wanted is None
            else "the stream is JSON and has no schema registry; nothing refuses columns",
            err=True,
        )
        raise typer.Exit(2)
    version = accept(registry, wanted, typer.echo)
    typer.echo(f"the columns of {wanted.market_table} are version {version} of {wanted.subject}")
