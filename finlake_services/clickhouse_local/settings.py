"""URL parameters: which belong to the protocol, and which settings a reader or writer may change for a statement."""

import re
from collections.abc import Mapping
from typing import Final

from finlake_services.clickhouse_local.errors import ClickHouseError, not_in_readonly
from finlake_services.clickhouse_local.users import User

PROTOCOL_PARAMETERS: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "query_id",
        "compress",
        "decompress",
        "quota_key",
        "role",
        "stacktrace",
        "client_protocol_version",
        "framing",
        "enable_http_compression",
        "http_zlib_compression_level",
        "network_compression_method",
        "network_zstd_compression_level",
        "buffer_size",
        "wait_end_of_query",
        "http_wait_end_of_query",
        "http_response_buffer_size",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "add_http_cors_header",
        "http_response_headers",
        "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format",
    }
)
"""Answered by the endpoint, or without meaning here; never given to the engine as settings."""

_FREE: Final = frozenset(
    {
        "async_insert",
        "cast_string_to_dynamic_use_inference",
        "date_time_input_format",
        "date_time_output_format",
        "deduplicate_blocks_in_dependent_materialized_views",
        "extremes",
        "final",
        "insert_deduplicate",
        "insert_deduplication_token",
        "join_use_nulls",
        "limit",
        "log_comment",
        "max_bytes_to_read",
        "max_insert_block_size",
        "max_insert_threads",
        "max_rows_to_read",
        "min_insert_block_size_bytes",
        "min_insert_block_size_rows",
        "offset",
        "output_format_json_quote_64bit_integers",
        "prefer_column_name_to_alias",
        "session_timezone",
        "use_query_condition_cache",
        "wait_for_async_insert",
    }
)
_FREE_PREFIXES: Final = (
    "output_format_json_",
    "output_format_csv_",
    "output_format_tsv_",
    "output_format_arrow_",
    "output_format_parquet_",
    "output_format_pretty_",
    "output_format_binary_",
    "output_format_decimal_",
    "input_format_json_",
    "input_format_csv_",
    "input_format_tsv_",
    "input_format_arrow_",
    "input_format_parquet_",
    "input_format_null_",
    "input_format_skip_unknown_",
    "input_format_with_",
    "input_format_defaults_",
)
"""Prefixes without a setting that names a file (output_format_schema and input_format_record_errors_file_path do), or that
lets rows say their types in bytes (input_format_binary_decode_types_in_binary_format)."""

_WHOLE_NUMBER: Final = re.compile("[0-9]{1,19}")
_CAPPED: Final = (
    "max_execution_time",
    "max_result_rows",
    "max_result_bytes",
    "max_memory_usage",
    "max_threads",
    "max_block_size",
)


def check_settings_of_text(user: User, settings: Mapping[str, str]) -> None:
    """Raise `ClickHouseError` unless the SETTINGS in a statement's text are such as the user may send by URL.

    A limit beyond the user's own is refused, because a text is run as it is.
    """
    allowed = engine_settings(user, settings)
    for name, value in settings.items():
        if allowed.get(name) != value:
            raise not_in_readonly(
                user.name, f"Cannot set '{name}' to {value[:20]} in the text of a statement, the most is {allowed.get(name)}"
            )


def engine_settings(user: User, parameters: Mapping[str, str]) -> dict[str, str]:
    """Settings for the engine out of a request's parameters.

    A limit asked for is taken down to the user's own. Raises `ClickHouseError` for a setting that the user may not change.
    """
    limits = user.limits
    caps = dict(
        zip(
            _CAPPED,
            (limits.execution_s, limits.result_rows, limits.result_bytes, limits.memory_bytes, limits.threads, limits.block_rows),
            strict=True,
        )
    )
    settings: dict[str, str] = {}
    for name, value in parameters.items():
        if name in PROTOCOL_PARAMETERS or name.startswith("param_"):
            continue
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise ClickHouseError(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
        if user.rights == "admin":
            settings[name] = value
        elif name == "readonly":
            _check_readonly(user, value)
        elif name in caps:
            settings[name] = _capped(name, value, caps[name])
        elif name in _FREE or name.startswith(_FREE_PREFIXES):
            settings[name] = value
        else:
            raise not_in_readonly(user.name, f"Cannot modify '{name}' setting")
    return settings


def _check_readonly(user: User, value: str) -> None:
    if value != "1" and not (user.rights == "writer" and value == "0"):
        raise not_in_readonly(user.name, "Cannot modify 'readonly' setting")


def _capped(name: str, value: str, cap: int) -> str:
    """A limit as the engine will have it: a number of any other form it may round, and a fraction of 1 is 0, no limit."""
    if not _WHOLE_NUMBER.fullmatch(value):
        raise ClickHouseError(
            27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", f"Setting {name} must be a whole number in digits, not {value[:20]!r}"
        )
    asked = int(value)
    return str(asked if not cap or 0 < asked <= cap else cap)
