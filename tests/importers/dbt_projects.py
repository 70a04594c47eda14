"""Small dbt projects as dbt writes them down."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.importers.dbt import import_project, read_project
from metadata_assets.importers.dbt_relations import Target, Targets
from resources.metadata.imports import Import, Imported
from resources.metadata_store import MetadataStore
from resources.models import Endpoint
from tests.collection.conftest import contents

Entry = dict[str, Any]
JAFFLE = "openlineage-dbt/integration/common/tests/dbt/postgres/target/manifest.json"


def node(kind: str, name: str, *reads: str, database: str = "db", schema: str = "public", **facts: Any) -> Entry:
    """A model, seed or snapshot; what it reads by unique ids."""
    unique_id = f"{kind}.shop.{name}"
    usual = {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": name,
        "package_name": "shop",
        "database": database,
        "schema": schema,
        "alias": name,
        "relation_name": f'"{database}"."{schema}"."{name}"',
        "description": "",
        "columns": {},
        "config": {"materialized": {"model": "table"}.get(kind, kind)},
        "depends_on": {"macros": [], "nodes": list(reads)},
    }
    return usual | facts


def source(name: str, *, database: str = "db", schema: str = "public", **facts: Any) -> Entry:
    """A table that dbt reads."""
    entry = node("source", name, database=database, schema=schema)
    del entry["alias"], entry["depends_on"]
    return entry | {"identifier": name, "source_name": "raw", "config": {"enabled": True}, **facts}


def manifest(*nodes: Entry, adapter: str = "postgres", version: int = 12, project: str | None = "shop") -> Entry:
    """The document of a project with these nodes."""
    of_source = {one["unique_id"]: one for one in nodes if one["resource_type"] == "source"}
    return {
        "metadata": {
            "dbt_schema_version": f"https://schemas.getdbt.com/dbt/manifest/v{version}.json",
            "adapter_type": adapter,
            "project_name": project,
        },
        "nodes": {one["unique_id"]: one for one in nodes if one["unique_id"] not in of_source},
        "sources": of_source,
    }


def catalog(columns: Mapping[str, Mapping[str, str]]) -> Entry:
    """What dbt found in the database: types of columns, by unique ids."""
    return {
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json"},
        "nodes": {
            unique_id: {
                "columns": {
                    name: {"name": name, "type": kind, "index": index, "comment": None}
                    for index, (name, kind) in enumerate(found.items(), 1)
                }
            }
            for unique_id, found in columns.items()
        },
        "sources": {},
    }


def written(folder: Path, document: object, name: str = "manifest.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def imported(
    store: MetadataStore, file: Path, *targets: Target, seen: Path | None = None, name: str | None = None
) -> tuple[Import, Imported]:
    """Import a file below some endpoints, which it registers; below `wh`, a PostgreSQL, without one."""
    targets = targets or (Target("wh", "postgres"),)
    known = {one.slug for one in store.endpoints()}
    store.register_endpoints([Endpoint(slug=one.slug, system=one.system) for one in targets if one.slug not in known])
    return import_project(store, read_project(file, seen, name=name), Targets(targets))


def short(key: CanonicalKey) -> str:
    return "/".join(part or "~" for part in (key.endpoint, key.source, key.schema, key.table))


def table(name: str, endpoint: str = "wh", database: str = "db") -> CanonicalKey:
    return dataset_key(endpoint, source=database, schema="public", table=name)


def rows(url: str) -> list[object]:
    """All rows, whoever looked at them or tried to write."""
    return [row for _table, found in sorted(contents(url).items()) for _xmin, _xmax, row in found]


def columns(*names: str, **types: str) -> Entry:
    return {name: {"name": name, "description": f"about {name}", "data_type": types.get(name)} for name in names}
