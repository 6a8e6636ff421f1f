"""What Prometheus scrapes: the services of the local stack that have numbers, on their usual ports."""

from deploy.local.services import SERVICES
from finlake_settings.local_stack import LOOPBACK

HEAD = """# Written by `python -m finlake_cli.documents` from deploy/local/services.py; change the services, not this file.
#
#   prometheus --config.file=deploy/prometheus/prometheus.yml
#
# All processes listen on loopback alone. The ports are the usual ones (`finlake status` shows them when they were moved).

global:
  scrape_interval: 15s
  evaluation_interval: 15s
  scrape_timeout: 10s

rule_files:
  - alerts.yml

scrape_configs:
"""


def scrape_config() -> str:
    """Text of deploy/prometheus/prometheus.yml."""
    jobs = (
        f"  - job_name: {service.name}\n"
        f"    metrics_path: {service.metrics_path}\n"
        "    static_configs:\n"
        f'      - targets: ["{LOOPBACK}:{service.port}"]\n'
        "        labels: {stack: finlake}\n"
        for service in SERVICES.values()
        if service.metrics_path is not None
    )
    return HEAD + "\n".join(jobs)
