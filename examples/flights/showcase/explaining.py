"""Act c: what produced a partition, down to the source tables, from what was recorded when it was made."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import dagster as dg

from identity.keys import CanonicalKey, short_name
from metadata_assets.cli import lineage, provenance
from metadata_assets.cli.output import facts, table
from metadata_assets.cli.provenance import Provenance
from resources.graph.walk import Lineage
from resources.models import Input, Materialization
from showcase.promises import Promise, few
from showcase.stage import DAILY_DELAYS, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A partition's materialization with everything that went into it, and its place in the graph."""

    partition: str
    provenance: Provenance
    unknown_runs: Sequence[str]
    """Runs that Dagster does not know, or did not end."""
    up: Lineage
    down: Lineage
    downstream_of: CanonicalKey

    @property
    def start(self) -> Materialization:
        return self.provenance.materializations[self.provenance.start]

    @property
    def commands(self) -> list[str]:
        """What to type to see the same."""
        name, program = short_name(DAILY_DELAYS), "metadata-assets"
        return [
            f"{program} materialization show {name} --partition {self.partition}",
            f"{program} lineage {name} --up --depth 5 --format tree",
            f"{program} lineage {short_name(self.downstream_of)} --down --format tree",
            f"{program} versions {name} --limit 5",
        ]

    @property
    def document(self) -> dict[str, object]:
        one = self.start
        return {
            "dataset": short_name(one.key),
            "partition": one.partition,
            "materialization_id": one.id,
            "run_id": one.run_id,
            "step_key": one.step_key,
            "attempt": one.retry_number + 1,
            "code_version": one.code_version,
            "intent": one.intent,
            "row_count": one.row_count,
            "byte_count": one.byte_count,
            "materializations": provenance.described(self.provenance)["materializations"],
            "up": lineage.described(self.up),
            "down": lineage.described(self.down),
            "commands": self.commands,
        }


def explain(stage: Stage, partition: str) -> Explained | None:
    """What produced the published daily_delays of a day; None when it is not published."""
    stage.title(f"c) What produced {short_name(DAILY_DELAYS)} of {partition}")
    current = stage.store.current(DAILY_DELAYS, [partition])
    if not current:
        stage.say("it is not published")
        return None
    found = provenance.trace(stage.store, current[0].materialization_id)
    flights = stage.source("jfk", "flights").key
    explained = Explained(
        partition=partition,
        provenance=found,
        unknown_runs=_unknown_runs(stage, found),
        up=stage.graph.lineage(stage.store.entity(DAILY_DELAYS), "up"),
        down=stage.graph.lineage(stage.store.entity(flights), "down"),
        downstream_of=flights,
    )
    _tell(stage, explained)
    return explained


def promises(stage: Stage, found: Explained | None) -> list[Promise]:
    """What the explanation has to be: complete, exact, and the same as the graph."""
    return [_recorded(stage, found), _add_up(found), _in_the_graph(found)]


def _recorded(stage: Stage, found: Explained | None) -> Promise:
    inputs = [each for some in found.provenance.inputs.values() for each in some] if found else []
    sources = {each.key for each in inputs if each.materialization_id is None}
    exact = all(each.version for each in inputs if each.materialization_id)
    code = {one.key: one.code_version for one in found.provenance.materializations.values()} if found else {}
    other_code = [short_name(key) for key, version in code.items() if version != stage.dataset(key).code_version]
    unknown = found.unknown_runs if found else []
    problems = [*(f"no such run: {run}" for run in unknown), *(f"other code: {name}" for name in other_code)]
    return Promise(
        name="inputs_recorded",
        promise="run, code and exact inputs are recorded, down to the source tables",
        evidence=few(problems) or f"{len(code)} materializations, {len(inputs)} inputs, {len(sources)} source tables",
        held=found is not None
        and exact
        and not problems
        and sources <= set(stage.project.sources)
        and len(sources) > 2,
    )


def _add_up(found: Explained | None) -> Promise:
    """A day's flights are all rows of that day, so what was read of the sources is what was written."""
    made = [one for one in found.provenance.materializations.values() if _of_sources(found, one)] if found else []
    read = {one.id: sum(_rows_read(each) for each in found.provenance.inputs[one.id]) for one in made} if found else {}
    told = [f"{short_name(one.key)}: {read[one.id]:,} rows read, {one.row_count or 0:,} written" for one in made]
    return Promise(
        name="rows_read_add_up",
        promise="the rows read of the three sources are the rows written",
        evidence=few(told),
        held=bool(made) and all(read[one.id] == one.row_count for one in made),
    )


def _in_the_graph(found: Explained | None) -> Promise:
    recorded = {one.key for one in found.provenance.materializations.values()} if found else set()
    recorded |= {each.key for some in found.provenance.inputs.values() for each in some} if found else set()
    up, down = (found.up.nodes.keys(), found.down.nodes.keys()) if found else (set(), set())
    not_there = sorted(short_name(key) for key in recorded - up)
    return Promise(
        name="lineage_agrees",
        promise="the lineage graph has every input that was recorded, and the way back down",
        evidence=f"not in the graph: {few(not_there)}"
        if not_there
        else f"{len(up)} nodes upstream, {len(down)} downstream",
        held=bool(recorded) and not not_there and DAILY_DELAYS in down,
    )


def _of_sources(found: Explained, one: Materialization) -> bool:
    inputs = found.provenance.inputs[one.id]
    return bool(inputs) and all(each.materialization_id is None for each in inputs)


def _rows_read(one: Input) -> int:
    return int(one.metadata.get("rows_read", 0))


def _unknown_runs(stage: Stage, found: Provenance) -> list[str]:
    runs = sorted({one.run_id for one in found.materializations.values()})
    ended = {run.run_id for run in stage.instance.get_runs(dg.RunsFilter(run_ids=runs)) if run.is_finished}
    return [run for run in runs if run not in ended]


def _tell(stage: Stage, found: Explained) -> None:
    one = found.start
    about = {
        "materialization": one.id,
        "run": one.run_id,
        "step": one.step_key,
        "attempt": one.retry_number + 1,
        "code version": one.code_version,
        "intent": one.intent,
        "committed": one.committed_at,
        "rows": one.row_count,
        "bytes": one.byte_count,
        "first published in version": one.published_in,
    }
    stage.show(facts(f"{short_name(one.key)} of {found.partition}", about))
    stage.say()
    columns = ("made", "from", "partition", "version", "materialization", "rows read")
    rows = [_cells(found, made, each) for made, some in found.provenance.inputs.items() for each in some]
    stage.show(table("Its exact inputs, and theirs", columns, rows))
    stage.say()
    stage.show(provenance.drawn(found.provenance))
    stage.say()
    stage.say("upstream and downstream in the lineage graph:")
    stage.show(lineage.drawn(found.up), lineage.drawn(found.down))
    stage.say()
    stage.say("the same with the command line:")
    for command in found.commands:
        stage.say(f"  {command}")


def _cells(found: Explained, made: UUID, each: Input) -> Sequence[object]:
    rows = each.metadata.get("rows_read")
    if each.materialization_id is not None:
        rows = found.provenance.materializations[each.materialization_id].row_count
    return (
        short_name(found.provenance.materializations[made].key),
        short_name(each.key),
        each.partition,
        each.version,
        each.materialization_id or "a source table",
        rows,
    )
