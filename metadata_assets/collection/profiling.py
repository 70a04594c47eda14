"""Profiles of tables: one bounded, read-only statement for each table, over a sample where it is large."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from time import monotonic
from typing import Any, Final

from identity.keys import CanonicalKey
from metadata_assets.collection.errors import EndpointUnreachable, NotCollectable, SourceError
from resources.locations import EndpointLocation
from resources.metadata.catalogs import current_catalog
from resources.metadata.plans import KnownAsset
from resources.metadata.profiles import ColumnProfile, Profile, Value
from resources.metadata_store import MetadataStore
from resources.models import AssetType, Gap
from resources.postgres.databases import Databases

SAMPLE: Final = 100_000
"""Larger tables are told from about so many of their rows."""
STATEMENT_SECONDS: Final = 20.0
TOTAL_SECONDS: Final = 300.0
COLUMNS: Final = 200
"""Of a wider table only the first ones are looked at."""

_ORDERED: Final = re.compile(r"int|serial|numeric|decimal|real|double|float|date|time|year", re.IGNORECASE)
_NOT_ORDERED: Final = re.compile(r"\[\]|interval|struct|map\(|list\(|range|point", re.IGNORECASE)
_TABLES: Final = {AssetType.TABLE, AssetType.MATERIALIZED_VIEW}


@dataclass(frozen=True, slots=True)
class Rows:
    """How the rows of one source are asked for: within its limits of time, in a transaction that only reads.

    `within` is what tables are called by before their schemas. `sample` is what stands behind FROM for about `SAMPLE`
    rows of a table of so many, asked for of small tables, too, where `is_always_sampled`: then it is the first `SAMPLE`
    rows. `distinct` is what a column is called in `count(DISTINCT …)`.
    """

    ask: Callable[[str], Sequence[Any]]
    quoted: Callable[[str], str]
    sample: Callable[[str, int], str]
    distinct: Callable[[str], str] = str
    within: str = ""
    is_always_sampled: bool = False


@dataclass(frozen=True, slots=True)
class Profiled:
    """What was found, and the tables that were not looked at, and why."""

    profiles: tuple[Profile, ...]
    left: tuple[Gap, ...]


def profile_endpoint(store: MetadataStore, location: EndpointLocation, databases: Databases) -> Profiled:
    """Look at the rows of every stored table of an endpoint, and keep what was found.

    Views and foreign tables are left out: they run queries. A table that takes too long is left out with the reason,
    and so are those that were not begun after TOTAL_SECONDS. Raises what a look at the endpoint raises.
    """
    with store.session() as session:
        known = [one for one in current_catalog(session, location.slug) if one.collected and one.type in _TABLES]
    found: list[Profile] = []
    left: list[Gap] = []
    ends = monotonic() + TOTAL_SECONDS
    with asking(location, databases) as rows:
        for asset in sorted(known, key=lambda one: one.name):
            if monotonic() > ends:
                left.append(Gap(name=asset.name, reason="there was no time left for it"))
                continue
            try:
                found.append(_profile(rows, asset))
            except EndpointUnreachable:
                raise
            except SourceError as error:
                left.append(Gap(name=asset.name, reason=str(error)))
    store.record_profiles(found)
    return Profiled(tuple(found), tuple(left))


def asking(location: EndpointLocation, databases: Databases) -> AbstractContextManager[Rows]:
    """The rows of an endpoint's tables. Raises as `looking_at`."""
    match location.system:
        case "postgres":
            from metadata_assets.collection.postgres import rows_of_postgres

            return rows_of_postgres(location, databases, STATEMENT_SECONDS)
        case "duckdb":
            from metadata_assets.collection.duckdb_file import rows_of_duckdb

            return rows_of_duckdb(location, databases, STATEMENT_SECONDS)
        case "sqlite":
            from metadata_assets.collection.sqlite_file import rows_of_sqlite

            return rows_of_sqlite(location, databases, STATEMENT_SECONDS)
        case "mysql" | "mariadb":
            from metadata_assets.collection.mysql import rows_of_mysql

            return rows_of_mysql(location, databases, STATEMENT_SECONDS)
    raise NotCollectable(endpoint=location.slug, system=location.system)


def _profile(rows: Rows, asset: KnownAsset) -> Profile:
    key = CanonicalKey.parse(asset.name)
    columns = [one for name, one in asset.fields.items() if name not in asset.closed_fields]
    columns = sorted(columns, key=lambda one: one.position)[:COLUMNS]
    table = f"{rows.within}{rows.quoted(key.schema or '')}.{rows.quoted(key.table)}"
    estimate: int = asset.metadata.get("row_estimate") or 0
    is_large = estimate > SAMPLE
    is_sampled = is_large or rows.is_always_sampled
    parts = ["count(*)"]
    for one in columns:
        name = rows.quoted(one.name)
        parts += [f"count({name})", f"count(DISTINCT {rows.distinct(name)})"]
        parts += [f"min({name})", f"max({name})"] if _is_ordered(one.type) else ["NULL", "NULL"]
    source = rows.sample(table, estimate) if is_sampled else table
    counted, *facts = rows.ask(f"SELECT {', '.join(parts)} FROM {source}")
    found = [_column(one.name, counted, *facts[4 * number : 4 * number + 4]) for number, one in enumerate(columns)]
    is_all = counted < SAMPLE if rows.is_always_sampled else not is_large
    total = counted if is_all else max(estimate, counted) if is_large else None
    return Profile(key=key, rows=total, sampled=counted, columns=tuple(found))


def _is_ordered(kind: str) -> bool:
    return bool(_ORDERED.search(kind)) and not _NOT_ORDERED.search(kind)


def _column(name: str, counted: int, filled: int, distinct: int, least: Any, greatest: Any) -> ColumnProfile:
    nulls = None if not counted else round(1 - filled / counted, 6)
    return ColumnProfile(name=name, nulls=nulls, distinct=distinct, least=_value(least), greatest=_value(greatest))


def _value(value: Any) -> Value:
    """As it is kept: numbers, dates and times. A text may be anybody's name, so none is."""
    match value:
        case bool():
            return None
        case int() | float():
            return value if value == value and abs(value) != float("inf") else None
        case Decimal():
            return str(value) if value.is_finite() else None
        case datetime() | date() | time():
            return value.isoformat()
    return None
