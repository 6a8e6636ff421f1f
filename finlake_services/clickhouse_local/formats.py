"""Formats that a reader or writer may name: those made of rows alone, by what they are called in `system.formats`.

Others read or write files of this machine (`Protobuf` makes its schema one, `Template` reads one), ask other machines
(`AvroConfluent`), or speak a protocol. An engine may learn new ones, so that what is not named here is refused.
"""

from typing import Final

from finlake_services.clickhouse_local.errors import ClickHouseError

_TABBED: Final = tuple(
    f"{name}{suffix}"
    for name in (
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "Raw",
        "CSV",
        "CustomSeparated",
        "JSONCompactEachRow",
        "JSONCompactStringsEachRow",
    )
    for suffix in ("", "WithNames", "WithNamesAndTypes")
)
_PRETTY: Final = tuple(
    f"Pretty{shape}{escapes}{block}"
    for shape in ("", "Compact", "Space")
    for escapes in ("", "NoEscapes")
    for block in ("", "MonoBlock")
)
_NAMES: Final = {
    name.lower(): name
    for name in (
        *_TABBED,
        *_PRETTY,
        "Arrow",
        "ArrowStream",
        "Avro",
        "BSONEachRow",
        "HiveText",
        "JSON",
        "JSONColumns",
        "JSONColumnsWithMetadata",
        "JSONCompact",
        "JSONCompactColumns",
        "JSONCompactEachRowWithProgress",
        "JSONCompactStrings",
        "JSONCompactStringsEachRowWithProgress",
        "JSONEachRow",
        "JSONEachRowWithProgress",
        "JSONL",
        "JSONLines",
        "JSONObjectEachRow",
        "JSONStrings",
        "JSONStringsEachRow",
        "JSONStringsEachRowWithProgress",
        "LineAsString",
        "LineAsStringWithNames",
        "LineAsStringWithNamesAndTypes",
        "Markdown",
        "MD",
        "MsgPack",
        "Native",
        "NDJSON",
        "Npy",
        "Null",
        "ORC",
        "Parquet",
        "PrettyJSONEachRow",
        "PrettyJSONLines",
        "PrettyNDJSON",
        "Prometheus",
        "RawBLOB",
        "RowBinary",
        "RowBinaryWithDefaults",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "RowBinaryWithNamesAndTypesAndDefaults",
        "SQLInsert",
        "TSKV",
        "Values",
        "Vertical",
        "XML",
    )
}


def is_allowed(named: str) -> bool:
    """Whether a reader or writer may name this format; the engine knows names by any case."""
    return named.lower() in _NAMES


def canonical(named: str) -> str:
    """The engine's spelling of an allowed format; another name stays as it is."""
    return _NAMES.get(named.lower(), named)


def check_format(named: str) -> None:
    """Raise `ClickHouseError` (73) for a format that is not allowed to a reader or writer."""
    if not is_allowed(named):
        raise ClickHouseError(
            73,
            "UNKNOWN_FORMAT",
            f"Unknown format {named[:64]!r}, or one that needs files of the server; "
            "take one made of rows alone, such as JSON, CSV, Native or Parquet",
        )
