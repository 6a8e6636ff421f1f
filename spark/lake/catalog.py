"""The Iceberg catalog: where it is, opened once in a process, and tables made in it from their contracts."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, TableAlreadyExistsError
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import IntegrityError

from spark.contracts.engine import Engine
from spark.contracts.table import Table
from spark.schemas import arrow_schema, iceberg_schema, partition_spec, sort_order

CATALOG = "lake"

logger = logging.getLogger(__name__)

_catalogs: dict[tuple[tuple[str, str], ...], SqlCatalog] = {}
_lock = Lock()


@dataclass(frozen=True, kw_only=True)
class LakeLocation:
    """Where the lake is and what computes: catalog database, warehouse, engine, and with `spark` its server.

    `spark_token` and `catalog_properties` are secret.
    """

    warehouse: str
    engine: Engine
    spark_remote: str
    spark_token: str | None = field(default=None, repr=False)
    catalog_properties: Mapping[str, str] = field(repr=False)


def catalog_at(location: LakeLocation) -> SqlCatalog:
    """The catalog of a lake; one per location within the process, because opening one takes several questions to Postgres."""
    properties = {"warehouse": location.warehouse, **location.catalog_properties}
    key = tuple(sorted(properties.items()))
    with _lock:
        if key not in _catalogs:
            _catalogs[key] = SqlCatalog(CATALOG, **properties)
        return _catalogs[key]


def create_table(catalog: SqlCatalog, contract: Table) -> IcebergTable:
    """Create the table with an empty first snapshot, so that a branch can start from it; safe beside other creators."""
    try:
        catalog.create_namespace(contract.layer)
    except (NamespaceAlreadyExistsError, IntegrityError):
        logger.debug("namespace %s exists", contract.layer)
    schema = iceberg_schema(contract)
    try:
        transaction = catalog.create_table_transaction(
            contract.address,
            schema=schema,
            partition_spec=partition_spec(contract, schema),
            sort_order=sort_order(contract, schema),
            properties={
                "format-version": "2",
                "write.parquet.compression-codec": "zstd",
                "comment": contract.summary,
                "owner": contract.owner,
                "write.metadata.delete-after-commit.enabled": "true",
                "write.metadata.previous-versions-max": "50",
                "write.distribution-mode": "hash",
                # Small daily files are many: counted at 4 MB each (the default) they become a task for every few.
                "read.split.open-file-cost": "1048576",
                # Measured values hardly repeat: a dictionary of them is a third of a large write and saves no byte.
                **{
                    f"write.parquet.dict-encoding-enabled.column.{column.name}": "false"
                    for column in contract.columns
                    if column.type == "double"
                },
            },
        )
        with transaction:
            transaction.append(arrow_schema(contract).empty_table())
    except (TableAlreadyExistsError, IntegrityError, CommitFailedException):
        logger.debug("table %s was created by another writer", contract.address)
    return catalog.load_table(contract.address)
