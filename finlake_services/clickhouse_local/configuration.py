"""The engine's own configuration files: server settings, and one role per user with that user's grants."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from finlake_services.clickhouse_local.users import Rights, User

_SERVER = """<clickhouse>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <mark_cache_size>134217728</mark_cache_size>
  <max_concurrent_queries>64</max_concurrent_queries>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
    <non_replicated_deduplication_window>10000</non_replicated_deduplication_window>
    <min_free_disk_bytes_to_perform_insert>{least_free_bytes}</min_free_disk_bytes_to_perform_insert>
  </merge_tree>
  <query_log>
    <database>system</database><table>query_log</table>
    <engine>ENGINE = MergeTree PARTITION BY event_date ORDER BY event_time TTL event_date + INTERVAL 3 DAY
            SETTINGS fsync_after_insert = 0, fsync_part_directory = 0, non_replicated_deduplication_window = 0</engine>
    <flush_interval_milliseconds>5000</flush_interval_milliseconds>
  </query_log>
</clickhouse>
"""

_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
{roles}
  </roles>
  <users><default>
    <no_password/><networks><ip>::1</ip><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
    <grants>{memberships}</grants>
  </default></users>
</clickhouse>
"""


LEAST_FREE_BYTES = 64 << 20
"""With less space left an insert is refused. On a full disk the engine would lose an insert's token without an error."""

ENGINE_ROLE = "engine"
"""Role of the endpoint's own statements."""


def _grants_of(rights: Rights, databases: Iterable[str]) -> list[str]:
    if rights == "admin":
        return ["GRANT ALL ON *.* WITH GRANT OPTION"]
    verbs = "SELECT, INSERT" if rights == "writer" else "SELECT"
    return ["GRANT SHOW DATABASES ON default.*", *(f"GRANT {verbs} ON `{database}`.*" for database in databases)]


def _role(name: str, grants: Iterable[str]) -> str:
    return f"    <{name}><grants>{''.join(f'<query>{escape(grant)}</query>' for grant in grants)}</grants></{name}>"


def role_of(user: User) -> str:
    """Name of the engine's role that holds the user's grants."""
    return f"user_{user.name}"


def write_configuration(folder: Path, users: Iterable[User], memory_bytes: int) -> Path:
    """Write the engine's files into `folder`; returns the server file's path. They hold no password: none is known here.

    The engine knows a single user, `default`, who may take any of the roles; a connection is confined to its user's role
    before the first statement of that user, and no statement of a reader or writer can take another.
    """
    roles = {ENGINE_ROLE: _grants_of("admin", ())} | {role_of(user): _grants_of(user.rights, user.databases) for user in users}
    users_path = folder / "engine_users.xml"
    users_path.write_text(
        _USERS.format(
            roles="\n".join(_role(name, grants) for name, grants in roles.items()),
            memberships="".join(f"<query>GRANT {name}</query>" for name in roles),
        )
    )
    server_path = folder / "engine_server.xml"
    server_path.write_text(
        _SERVER.format(users=escape(str(users_path)), memory_bytes=memory_bytes, least_free_bytes=LEAST_FREE_BYTES)
    )
    return server_path
