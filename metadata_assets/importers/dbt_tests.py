"""Tests of a dbt project as facts about the relations that they test."""

import re
from collections import defaultdict
from typing import Any, Final

from metadata_assets.importers.dbt_manifest import Manifest, Test

_MODEL: Final = re.compile(r"(?:ref|source)\(([^)]*)\)")
_QUOTED: Final = re.compile(r"""['"]([^'"]*)['"]""")
_CONTEXT: Final = frozenset({"model", "column_name"})


def tests_of(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """The tests of each node, by unique ids: name, kind, column, severity and what they are told."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for test in sorted(manifest.tests, key=lambda one: one.unique_id):
        for tested in _tested(test, manifest):
            found[tested].append(_facts(test))
    return found


def _facts(test: Test) -> dict[str, Any]:
    made_from = test.test_metadata
    arguments = {k: v for k, v in made_from.arguments.items() if k not in _CONTEXT} if made_from else {}
    kind = ".".join(filter(None, (made_from.namespace, made_from.name))) if made_from else "singular"
    column = test.column_name or (made_from.arguments.get("column_name") if made_from else None)
    facts = {
        "name": test.name,
        "kind": kind,
        "column": column,
        "severity": (test.config.severity or "error").lower(),
        "arguments": arguments,
    }
    return {name: value for name, value in facts.items() if value}


def _tested(test: Test, manifest: Manifest) -> list[str]:
    """The nodes that a test is about: what a generic one is attached to, all that another one reads.

    Schemas before v9 say what it is attached to in its `model` argument only.
    """
    if test.attached_node:
        return [test.attached_node]
    reads = list(dict.fromkeys(test.depends_on.nodes))
    if test.test_metadata is None or len(reads) < 2:
        return reads
    named = _MODEL.search(str(test.test_metadata.arguments.get("model", "")))
    names = _QUOTED.findall(named[1]) if named else []
    return [one for one in reads if names and one in manifest.nodes and manifest.nodes[one].name == names[-1]] or reads
