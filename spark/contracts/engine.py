"""What computes the lake's tables."""

from typing import Literal

Engine = Literal["embedded", "spark"]
"""`embedded`: Sail, in the process that runs the job, for data that fit into one machine's memory. `spark`: Apache Spark."""
