"""A look at a source whose catalog is read whole, once: engines in this process, and servers without snapshots."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from identity.ids import sha256_of
from metadata_assets.collection import rows
from metadata_assets.collection.rows import Name, Names, Row
from metadata_assets.collection.scope import NO_SUCH_SCHEMA, NO_SUCH_TABLE, Scope
from metadata_assets.collection.view_columns import view_origins
from metadata_assets.collection.views import reads
from resources.models import Catalog, Gap

FORMAT: Final = "2"
"""What the rows become is part of what is compared: another FORMAT collects everything once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The rows of a catalog, shaped as `rows.py` takes them; `schemas` are all that there are."""

    relations: Sequence[Row]
    columns: Sequence[Row]
    constraints: Sequence[Row]
    estimates: Mapping[Name, int | None]
    schemas: frozenset[str]
    denied: Sequence[tuple[Name | None, str]] = ()
    """What the login may not see, and how that is mended; None for all there is."""

    def within(self, scope: Scope) -> "Contents":
        """Only what is to be collected."""

        def inside(given: Iterable[Row]) -> list[Row]:
            return [row for row in given if covered.setdefault((row[0], row[1]), scope.covers(row[0], row[1]))]

        covered: dict[Name, bool] = {}
        return Contents(
            relations=inside(self.relations),
            columns=inside(self.columns),
            constraints=inside(self.constraints),
            estimates={name: rows for name, rows in self.estimates.items() if scope.covers(*name)},
            schemas=self.schemas,
            denied=[(name, reason) for name, reason in self.denied if name is None or scope.covers(*name)],
        )


@dataclass(frozen=True)
class Snapshot:
    """A look at contents that were read already. There are no object ids: a name is all that says what a table is."""

    names: Names
    contents: Contents
    scope: Scope
    dialect: str
    """sqlglot's name of the SQL that its views are in."""
    databases: frozenset[str] = frozenset()
    """What that SQL may call the database that it is in."""

    @property
    def place(self) -> None:
        return None

    def fingerprint(self) -> str:
        read = self.contents
        parts = [sorted(map(_text, rows)) for rows in (read.relations, read.columns, read.constraints)]
        gaps = sorted(f"{gap.name} {gap.reason}" for gap in self.gaps())
        return sha256_of(FORMAT, self.dialect, self.names.database, json.dumps([*parts, gaps])).hex()[:32]

    def estimates(self) -> Mapping[Name, int | None]:
        return self.contents.estimates

    def gaps(self) -> list[Gap]:
        return list(self._gaps())

    def catalog(self, fingerprint: str) -> Catalog:
        read = self.contents
        keys, unnamable = self.names.keys(read.estimates)
        found = rows.assets(
            keys,
            relations=read.relations,
            fields=rows.fields_of(read.columns),
            constraints=read.constraints,
            estimates=read.estimates,
        )
        assets, edges = tuple(found), rows.edges(keys, self._reads)
        return Catalog(
            endpoint=self.names.endpoint,
            fingerprint=fingerprint,
            assets=assets,
            edges=edges,
            origins=view_origins(keys, assets, edges, self.dialect, self.databases),
            gaps=(*self.gaps(), *unnamable, *rows.unnamable_columns(self.names, read.columns)),
        )

    @cached_property
    def _reads(self) -> list[tuple[str, str, str, str]]:
        return list(reads(self.contents.relations, self.dialect, self.databases))

    def _gaps(self) -> Iterator[Gap]:
        for name, reason in self.contents.denied:
            yield self.names.gap(name or (None, None), reason)
        for schema in self.scope.schemas.named:
            if schema not in self.contents.schemas:
                yield self.names.gap((schema, None), NO_SUCH_SCHEMA)
        tables = {table for _schema, table in self.contents.estimates}
        for table in self.scope.tables.named:
            if table not in tables:
                yield self.names.gap((None, table), NO_SUCH_TABLE)


def _text(row: Sequence[Any]) -> str:
    return json.dumps(row)
