"""Where the checkout is from which finlake runs: the one place that says so. finlake is not installed any other way."""

from importlib.resources import files
from pathlib import Path

CHECKOUT = Path(str(files("finlake_settings"))).resolve().parent
"""The folder with pyproject.toml, universe.toml and workspace.yaml; the state folder is in it unless FINLAKE_HOME says else."""
STATE_FOLDER = ".finlake"
