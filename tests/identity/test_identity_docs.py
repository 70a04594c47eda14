"""docs/identity.md: its examples run, its table says what the rules say."""

import doctest
import re
import sys
from pathlib import Path

from identity.naming import Naming, System
from identity.naming.rules import ALL
from identity.naming.systems import Limit

DOCS = Path(__file__).resolve().parents[2] / "docs/identity.md"
COLUMNS = ("system", "source, schema, table", "without them", "case", "longest", "quotes", "OpenLineage")
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def _all_folded(rules: System) -> set[str]:
    return set(rules.folded) if rules.folds_quoted else set()


def _limit(limit: Limit | None) -> str:
    if limit is None:
        return ""
    return f"{limit.longest} {limit.of}, {'cut' if limit.cuts else 'refused'}"


def row(rules: System) -> str:
    """One system, as the table has it."""
    defaults = [rules.default_source, rules.default_schema, f"port {rules.port}" if rules.port else None]
    always = [f"{rules.called(level)} {fold}" for level, fold in rules.one_case if level not in _all_folded(rules)]
    case = "; ".join([f"{rules.fold}{', quoted too' if rules.folds_quoted else ''}", *always])
    cells = [
        ", ".join((rules.name, *rules.also)),
        " / ".join(called or "~" for called in rules.levels),
        ", ".join(filter(None, defaults)),
        case if rules.naming is Naming.IDENTIFIERS else str(rules.naming),
        _limit(rules.limit),
        " ".join(f"``` {pair} ```" if "`" in pair else f"`{pair}`" for pair in rules.quotes),
        f"`{rules.namespace}` `{rules.dataset}`" if rules.namespace else "",
    ]
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    return HEAD + "".join(row(rules) for rules in sorted(ALL, key=lambda rules: rules.name))


def test_the_examples_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    examples = doctest.DocTestParser().get_doctest("".join(blocks), {}, "docs/identity.md", None, None)
    report: list[str] = []
    assert doctest.DocTestRunner().run(examples, out=report.append).failed == 0, "".join(report)


def test_the_table_says_what_the_rules_say() -> None:
    assert DOCS.read_text("utf-8").endswith(table()), "run: python tests/identity/test_identity_docs.py"


if __name__ == "__main__":
    text = DOCS.read_text("utf-8").partition(HEAD)[0]
    DOCS.write_text(text + table(), "utf-8")
    sys.stdout.write(f"{len(ALL)} systems\n")
