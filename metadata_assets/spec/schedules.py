"""The schedules of a project, with the datasets that each one selects."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from identity.errors import shown
from identity.keys import short_name
from metadata_assets.spec.problems import Path, Problem, did_you_mean, field_name
from metadata_assets.spec.project import Project, Schedule
from metadata_assets.spec.selecting import NotASelection, NothingSelected, selected
from metadata_assets.spec.timing_fields import ScheduleFields
from metadata_assets.spec.yaml_source import Source


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule as it is written: its fields are valid, what it selects is not known yet."""

    source: Source
    name: str
    fields: ScheduleFields

    def problem(self, field: str | Path, reason: str, fix: str) -> Problem:
        path: Path = ("schedules", self.name, *((field,) if isinstance(field, str) else field))
        return Problem(self.source.at(path), field_name(path), reason, fix)


def scheduled(
    entries: Iterable[ScheduleEntry], project: Project, environments: Sequence[str], *, may_be_more: bool
) -> Iterator[Schedule | Problem]:
    """Each schedule, or what is wrong with it. `may_be_more`: some datasets could not be read, so none is unknown."""
    for entry in entries:
        yield from _unknown_environments(entry, environments)
        try:
            found = selected(project, entry.fields.select, entry.fields.exclude)
        except NotASelection as error:
            yield entry.problem("select", f"{error.term}: {error.reason}", error.fix)
            continue
        except NothingSelected as error:
            if not may_be_more:
                yield entry.problem("select", f"there is no {error.what} {error.value}", error.fix)
            continue
        ways = {one.partitions: one for one in found if one.partitions is not None}
        if len(ways) > 1:
            first, second = (f"{short_name(one.key)} ({way})" for way, one in list(ways.items())[:2])
            fix = "make it one schedule for each way"
            yield entry.problem("select", f"{first} and {second} are divided in different ways", fix)
        elif not found and not may_be_more:
            yield entry.problem("select", "it selects nothing", "select what is to be made")
        else:
            yield Schedule(
                name=entry.name,
                cron=entry.fields.cron,
                timezone=entry.fields.timezone,
                datasets=tuple(one.key for one in found),
                environments=entry.fields.environments,
                description=entry.fields.description,
            )


def _unknown_environments(entry: ScheduleEntry, known: Sequence[str]) -> Iterator[Problem]:
    for number, name in enumerate(entry.fields.environments or ()):
        if name not in known:
            fix = did_you_mean(name, known)
            yield entry.problem(("environments", number), f"no environment {shown(name)!r}", fix)
