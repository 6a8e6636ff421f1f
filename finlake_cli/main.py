"""Registry of the `finlake` commands.

Each registered module holds a Typer app `app` whose commands become commands of `finlake`, and imports nothing
heavier than Typer at its top.
"""

import sys
from typing import Annotated, Any

import typer

from finlake_cli import bench_commands, demo_command, lake_commands, prices_commands, stack_commands, stream_commands


class FinlakeCommand(typer.Typer):
    """Tells any failure in one line on standard error, with exit code 1."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        # The outermost edge: whatever a command raised is shown to the user here.
        except Exception as problem:  # noqa: BLE001
            if "--traceback" in sys.argv:
                raise
            sys.exit(f"finlake: {one_line(problem)}")


def one_line(problem: Exception) -> str:
    """The message of an error; with its class when it is not one that finlake words for its users."""
    message = " ".join(str(problem).split())
    room = type(problem).__module__.partition(".")[0]
    if message and (room in {"deploy", "spark"} or room.startswith("finlake_")):
        return message
    return f"{type(problem).__name__}: {message}".rstrip(": ") + " (add --traceback for its origin)"


app = FinlakeCommand(
    name="finlake",
    help="The finlake lakehouse on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # In 80 columns the boxes of the other form cut names of options.
    rich_markup_mode=None,
)


@app.callback()
def finlake(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """The finlake lakehouse on this machine."""


for commands in (stack_commands, lake_commands, stream_commands, demo_command):
    app.add_typer(commands.app)
app.add_typer(bench_commands.app, name="bench")
app.add_typer(prices_commands.app, name="prices")

if __name__ == "__main__":
    app()
