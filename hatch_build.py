"""What may be built of finlake: an editable installation, which is its checkout, and nothing else."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NoPackageError(RuntimeError):
    """finlake was asked for as a package, which it is not."""


class CheckoutAlone(BuildHookInterface[Any]):
    """Refuses wheels and source archives.

    Migrations, connectors, universe.toml and workspace.yaml belong to finlake as much as its modules, the local stack starts
    processes in its checkout, and the rooms have names that another package may have.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises `NoPackageError` unless the build is editable."""
        if self.target_name != "wheel" or version != "editable":
            raise NoPackageError(
                "finlake is an application that runs from its checkout, not a package; clone it and run `make install`, or "
                "copy the checkout into an image and run `uv sync --frozen` there"
            )
