"""What the command about the stack at rest concludes from its measurement."""

from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from finlake_proofs.bench.rest import CORES_LIMIT, RestReport, measure


@pytest.mark.parametrize(("cores", "is_met"), [(CORES_LIMIT / 2, True), (CORES_LIMIT / 2 + 0.001, False)])
def test_all_services_together_must_stay_below_the_limit(cores: float, is_met: bool) -> None:
    report = RestReport(seconds=60, cores={"kafka": cores, "postgres": cores}, memory_mib={"kafka": 512.0, "postgres": 1536.0})
    assert report.is_met == is_met
    assert report.verdict.endswith(f"{CORES_LIMIT} of a core are allowed")
    assert "2.0 GiB over 60 s" in report.verdict


def test_a_stack_that_is_down_is_no_stack_at_rest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `finlake up`"):
        measure(LocalStack(tmp_path), seconds=0)
