#!/bin/sh
# The README's demo as a new user meets it: a fresh clone, in a folder with a space in its name, with nothing installed.
# Keeps the clone when something fails, so that it can be looked at; DEMO_DAYS is handed on.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
parent=$(mktemp -d)
clone="$parent/fresh clone"
git clone --quiet "$root" "$clone"
cd "$clone"
make demo
echo "acceptance: the demo works in a fresh clone; once more, now that everything is there"
make demo DEMO_DAYS=2
.venv/bin/metadata-assets datasets --json > "$parent/datasets.json"
.venv/bin/python -c '
import json, sys
datasets = json.load(open(sys.argv[1]))
names = {entry["name"]: entry for entry in datasets}
assert names["lake/nyc/flights"]["partitions"] >= 31, names
assert names["lake/nyc/flights"]["rows"] >= 27004, names
print("acceptance: passed,", len(names), "datasets")
' "$parent/datasets.json"
make clean > /dev/null
cd /
rm -rf "$parent"
