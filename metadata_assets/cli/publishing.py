"""`publish`, `release` and `releases`: readers get what a person chose."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from rich.console import RenderableType

from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli import records, views
from metadata_assets.cli.choosing import Candidate, NothingToPublish, chosen
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import plain, printable, table
from metadata_assets.cli.records import Document
from resources.metadata.publishing import ReasonNeeded
from resources.metadata_store import MetadataStore
from resources.models import Published

OVERTAKEN = "overtaken"
CHECKS = "failed_checks"


@dataclass(frozen=True, slots=True)
class _Refused:
    candidate: Candidate
    why: str

    @property
    def words(self) -> str:
        one = self.candidate
        of = f"{one.name} partition {one.partition}" if one.partition else one.name
        if self.why == OVERTAKEN:
            return f"{of}: a later attempt than {one.id} is published"
        names = ", ".join(one.failed)
        return f"{of}: {one.id} is refused by {names}; publish it with --despite-checks and --reason, or make it anew"


@dataclass(frozen=True, slots=True)
class _Changed:
    """A dataset, its version afterwards, and what of the candidates readers get in it."""

    dataset: Entity
    version: int
    published: tuple[Candidate, ...]


def publish(
    cli: Cli, names: Sequence[str], partitions: Sequence[str], *, reason: str | None, despite: bool, dry_run: bool
) -> ExitCode:
    if despite and not (reason or "").strip():
        raise ReasonNeeded
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        store = opened.store
        asked = chosen(store, names, partitions)
        held = [one for one in asked.candidates if one.failed and not despite]
        wanted = {one.id: one for one in asked.candidates if one not in held}
        done = store.publish_by_hand(list(wanted), reason=reason, despite_checks=despite) if wanted else []
        changed = [*_changed(store, done, wanted), *(_idle(store, one) for one in asked.idle)]
        behind = [] if dry_run else views.follow(cli, opened, [one.dataset for one in changed if one.published])
    refused = [
        *(_Refused(one, CHECKS) for one in held),
        *(_Refused(wanted[one], OVERTAKEN) for each in done for one in each.fenced),
    ]
    answer = {
        "dry_run": dry_run,
        "datasets": [_document(one) for one in changed],
        "refused": [_refusal(one) for one in refused],
        "behind": views.documents(behind),
    }
    cli.show(answer, *_shown(changed, "Would be published" if dry_run else "Published"))
    for one in refused:
        cli.complain(f"not published: {printable(one.words)}")
    if refused and not any(one.published for one in changed):
        return ExitCode.FAILED
    return views.told(cli, behind) or (ExitCode.PARTIAL if refused else ExitCode.OK)


def _changed(store: MetadataStore, done: Sequence[Published], wanted: Mapping[UUID, Candidate]) -> list[_Changed]:
    return [
        _Changed(store.thing(str(one.dataset)).entity, one.version, tuple(wanted[each] for each in one.published))
        for one in done
    ]


def _idle(store: MetadataStore, dataset: Entity) -> _Changed:
    return _Changed(dataset, store.version_at(dataset), ())


def _document(one: _Changed) -> Document:
    return {
        "name": short_name(one.dataset.key),
        "key": plain(one.dataset.key),
        "version": one.version or None,
        "published": [{"partition": each.partition, "materialization": plain(each.id)} for each in one.published],
    }


def _refusal(one: _Refused) -> Document:
    return {
        "name": one.candidate.name,
        "partition": one.candidate.partition,
        "materialization": plain(one.candidate.id),
        "why": one.why,
        "checks": list(one.candidate.failed),
    }


def _shown(changed: Sequence[_Changed], title: str) -> Iterator[RenderableType]:
    rows = [
        (short_name(one.dataset.key), one.version, each.partition, each.id) for one in changed for each in one.published
    ]
    if rows:
        yield table(title, ("dataset", "version", "partition", "materialization"), rows)
    for one in changed:
        if not one.published:
            yield f"nothing of {printable(short_name(one.dataset.key))} waits to be published"


def release(cli: Cli, name: str, names: Sequence[str], *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        store = opened.store
        asked = chosen(store, names, ())
        before = [one for idle in asked.idle for one in _released(store, name, idle)]
        wanted = {one.id: one for one in (*asked.candidates, *before)}
        done = store.release(name, list(wanted), reason=reason)
        changed = _changed(store, done.datasets, wanted)
        behind = [] if dry_run else views.follow(cli, opened, [one.dataset for one in changed])
    answer = {
        "dry_run": dry_run,
        "release": name,
        "replayed": done.replayed,
        "datasets": [_document(one) for one in changed],
        "behind": views.documents(behind),
    }
    would = "Would be released" if dry_run else "Was released before" if done.replayed else "Released"
    cli.show(answer, *_shown(changed, f"{would}: {printable(name)}"))
    return views.told(cli, behind)


def _released(store: MetadataStore, name: str, dataset: Entity) -> Iterator[Candidate]:
    """Asked again for a release that was made, nothing waits any more: what is meant is what it published then."""
    called = short_name(dataset.key)
    done = store.released_in(name, dataset)
    if not done:
        raise NothingToPublish(dataset=called, of_partition="")
    for materialization, partition in done.items():
        yield Candidate(materialization, called, partition)


def list_releases(cli: Cli, *, limit: int) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.releases(limit=limit)
    rows = ((one.name, one.released_at, records.versions_named(one.versions), one.reason, one.actor) for one in found)
    columns = ("release", "released", "versions", "why", "by")
    human = table("Releases", columns, rows) if found else "nothing was released yet"
    cli.show([records.release(one) for one in found], human)
    return ExitCode.OK
