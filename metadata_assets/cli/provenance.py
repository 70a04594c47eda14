"""What produced a materialization: it, its exact inputs, theirs, and so on down to the source tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from rich.text import Text
from rich.tree import Tree

from identity.keys import short_name
from metadata_assets.cli import records
from metadata_assets.cli.output import printable
from metadata_assets.cli.trees import Branch, draw
from resources.metadata_store import MetadataStore
from resources.models import Input, Materialization


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Every materialization that went into `start`, nearest first, each with its inputs.

    `inputs` has no entry for those that a depth bound left out.
    """

    start: UUID
    materializations: Mapping[UUID, Materialization]
    inputs: Mapping[UUID, Sequence[Input]]


def trace(store: MetadataStore, start: UUID, *, depth: int | None = None) -> Provenance:
    """Follow the recorded inputs of a materialization, `depth` steps far or to the end.

    Raises NoSuchMaterialization. Each materialization is looked up once, however many were made from it.
    """
    found = {start: store.materialization(start)}
    inputs: dict[UUID, Sequence[Input]] = {}
    frontier = [start]
    while frontier and (depth is None or depth > 0):
        for one in frontier:
            inputs[one] = store.inputs(one)
        read = (each.materialization_id for one in frontier for each in inputs[one])
        frontier = [each for each in dict.fromkeys(read) if each is not None and each not in found]
        found.update((each, store.materialization(each)) for each in frontier)
        depth = None if depth is None else depth - 1
    return Provenance(start=start, materializations=found, inputs=inputs)


def described(found: Provenance) -> dict[str, object]:
    """The same as JSON: each materialization once, with its inputs; null where they were not followed."""
    return {
        "start": str(found.start),
        "materializations": [
            {
                **records.materialization(one),
                "inputs": [records.input_(each) for each in found.inputs[one.id]] if one.id in found.inputs else None,
            }
            for one in found.materializations.values()
        ],
    }


def drawn(found: Provenance) -> Tree:
    """The same as a tree. What went in twice is drawn once and referred to."""

    def below(identifier: UUID) -> Iterator[Branch[UUID]]:
        yield Branch(_facts(found.materializations[identifier]))
        for each in found.inputs.get(identifier, ()):
            made = found.materializations.get(each.materialization_id) if each.materialization_id else None
            yield Branch(_label(made), made.id) if made else Branch(_observed(each))

    return draw(found.start, _label(found.materializations[found.start]), below)


def _label(one: Materialization) -> Text:
    label = Text(printable(short_name(one.key)), style="bold")
    if one.partition is not None:
        label.append(f"  {printable(one.partition)}", style="not bold cyan")
    rows = "" if one.row_count is None else f"{printable(one.row_count)} rows, "
    version = "never published" if one.published_in is None else f"published in version {one.published_in}"
    return label.append(f"  {rows}{version}", style="not bold")


def _facts(one: Materialization) -> Text:
    attempt = f"run {one.run_id}, step {one.step_key}, attempt {one.retry_number + 1}"
    code = f", code version {one.code_version}" if one.code_version else ""
    again = f", delivered {one.redeliveries + 1} times" if one.redeliveries else ""
    return Text(printable(f"{one.id} by {attempt}{code}, {printable(one.committed_at)}{again}"), style="dim")


def _observed(each: Input) -> Text:
    """An input that is drawn without its own: a source table, or a materialization that a depth bound left out."""
    label = Text(printable(short_name(each.key)), style="bold")
    if each.partition is not None:
        label.append(f"  {printable(each.partition)}", style="not bold cyan")
    if each.materialization_id is not None:
        return label.append(f"  version {each.version}, {each.materialization_id}", style="not bold")
    rows = each.metadata.get("rows_read")
    return label.append(f"  source{'' if rows is None else f', {printable(rows)} rows read'}", style="not bold")
