"""Write the next migration from the contracts: `python -m deploy.clickhouse.draft what_it_does`.

New objects and changed views are written in full. A table or a materialized view that changed or went away needs an
ALTER or a DROP, and a decision on the rows it holds, that no program can guess: the draft names it and stops.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.clickhouse.migration_files import FOLDER, MigrationError, migration_text, read_migrations
from deploy.clickhouse.scratch import created_by
from spark.contracts.clickhouse import Statement, statements


def next_statements(wanted: Sequence[Statement], made: Mapping[str, str], contracts: Mapping[str, str]) -> list[Statement]:
    """Those of `wanted` that take an engine from `made` to `contracts` (name to CREATE statement, as the engine says them).

    Raises MigrationError naming what has to be changed or dropped by hand.
    """
    views = {each.name for each in wanted if each.kind == "view"}
    changed = {name for name in made if made[name] != contracts.get(name)}
    if by_hand := sorted(changed - views):
        raise MigrationError(
            f"{', '.join(by_hand)}: exists in another form, or is no more in the contracts; write the "
            "ALTER, or the DROP, by hand into a migration"
        )
    return [
        Statement(
            name=each.name, kind=each.kind, template=each.template.replace("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW")
        )
        if each.name in changed
        else each
        for each in wanted
        if each.name in changed or (each.kind != "database" and each.name not in made) or (each.kind == "database" and not made)
    ]


def main(
    what: Annotated[str, typer.Argument(help="What the migration does, in small letters and underscores.")],
    folder: Annotated[Path, typer.Option(help="Folder of the migrations.")] = FOLDER,
) -> None:
    """Write the next numbered migration, or say that none is needed."""
    try:
        if not re.fullmatch(r"[a-z0-9_]+", what):
            raise MigrationError(f"{what!r} cannot be part of a file name here; use small letters, digits and underscores")
        migrations = read_migrations(folder)
        made = created_by(statement for migration in migrations for statement in migration.statements)
        wanted = statements()
        lacking = next_statements(wanted, made, created_by(wanted))
    except MigrationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if not lacking:
        typer.echo("the migrations already say what the contracts say")
        return
    path = folder / f"{len(migrations) + 1:04d}_{what}.sql"
    path.write_text(migration_text(lacking))
    typer.echo(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
