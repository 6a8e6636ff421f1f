"""The page on who gets what names the ports and files that the stack has."""

import re
from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.ports_page import ports_page
from deploy.local.postgres import MARKET_ROLES, OWNERS, SUPERUSER
from deploy.local.services import SERVICES
from deploy.local.settings import CLICKHOUSE_USERS, needed_secrets
from finlake_settings.checkout import CHECKOUT

PAGE = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_table_has_every_guarded_port_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| (\d+) `(\w+)` \|", PAGE, flags=re.MULTILINE)
    guarded = {name: port for service in SERVICES.values() if not service.tells_everybody for name, port in service.ports.items()}
    assert {name: int(port) for port, name in rows} == guarded
    assert len(rows) == len(guarded)


def test_what_everybody_is_told_is_metrics_and_stands_on_the_page_of_ports() -> None:
    assert "](ports.md)" in PAGE
    for service in SERVICES.values():
        if service.tells_everybody:
            assert service.metrics_path is not None, service.name
            assert not service.more_ports, service.name
            assert f"| {service.port} | `{service.name}` | {service.tells_everybody} |" in ports_page()


def test_every_secret_of_the_installation_is_on_the_page() -> None:
    layout = Layout(Path("/home"), Path("/jars"))
    named = set(re.findall(r"`([\w<>]+\.(?:password|token|pem|p12))`", PAGE))
    named |= {
        f"clickhouse_{user.removeprefix('clickhouse_')}.password"
        for user in CLICKHOUSE_USERS
        if "clickhouse_<user>.password" in named
    }
    named |= {f"{role}.password" for role in (*OWNERS, *MARKET_ROLES, SUPERUSER) if "<role>.password" in named}
    wanted = {file.name for file in needed_secrets(layout)}
    wanted |= {layout.password_file(role).name for role in (*OWNERS, *MARKET_ROLES, SUPERUSER)}
    wanted.add(layout.registry_token.name)
    assert wanted == named - {"clickhouse_<user>.password", "<role>.password"}
