"""The ports of a local stack as a page for people, docs/ports.md."""

from collections.abc import Iterator

from deploy.local.services import SERVICES

_HEAD = """\
# Ports

<!-- Written by `python -m finlake_cli.documents` from deploy/local/services.py; change the services, not this page. -->

On 127.0.0.1 alone, where they are unless they were moved; `finlake status` shows the present ones. Where somebody has to log in,
[security.md](security.md) says who gets in, and what a stranger gets.

| port | of | everybody is told |
|---|---|---|
"""


def ports_page() -> str:
    """Text of docs/ports.md."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for service in SERVICES.values():
        for name, port in service.ports.items():
            yield f"| {port} | `{name}` | {service.tells_everybody or '[security.md](security.md)'} |\n"
