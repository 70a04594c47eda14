"""Prints columns.jsonl. Run once; the file is frozen, because what it says is stored in databases.

    python tests/vectors/make_columns.py > tests/vectors/columns.jsonl

It shares nothing with the package: the id of a column is written down a second time, from its dataset's id.
"""

import json
import sys

from make_keys import NAMES, NS_ROOT, TENANTS, dashed, encoded, key_of, uuid5

DATASETS = [("flights", "public", "flights"), (None, None, "a#b"), (None, "", "2")]


def line(segments: tuple[str | None, ...], name: str) -> str:
    dataset = key_of("dataset", "jfk", segments)
    child = f"6:column{len(name.encode())}:{name}"
    parents = {tenant: uuid5(uuid5(NS_ROOT, f"tenant:{tenant}"), dataset) for tenant in TENANTS}
    ids = {tenant: dashed(uuid5(parent, child)) for tenant, parent in parents.items()}
    return json.dumps({"dataset": dataset, "name": name, "key": f"{dataset}#{encoded(name)}", "ids": ids})


if __name__ == "__main__":
    sys.stdout.writelines(f"{line(DATASETS[0], name)}\n" for name in NAMES)
    sys.stdout.writelines(f"{line(dataset, name)}\n" for dataset in DATASETS[1:] for name in ("#", "2", "", "b", "a#b"))
