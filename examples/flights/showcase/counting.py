"""Act d: every row counted, in the sources, in the records and in the files themselves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from metadata_assets.cli.output import table
from metadata_assets.writing import stored
from resources.models import Current
from showcase.promises import Promise, few
from showcase.stage import DAILY, FLIGHTS, WEATHER, Stage

KNOWN_FLIGHTS: Final = {31: 27_004, 365: 336_776}
"""What is known of this data from elsewhere, by days from the first one: the flights of January and of the year."""

_FLIGHT: Final = ("origin", "local_date", "carrier", "flight")
_ROWS_BY_DAY = """
SELECT local_date::text AS day, count(*) AS rows FROM {table} WHERE local_date BETWEEN %(first)s AND %(last)s GROUP BY 1
"""

# Asked of the tables themselves: that a partition has one current materialization, and an intent one at all.
_DOUBLED = """
SELECT a.qualified_name, p.partition_key FROM metadata.version_partition p
JOIN metadata.asset a ON a.tenant_id = p.tenant_id AND a.asset_id = p.dataset_id
WHERE p.tenant_id = %(tenant)s AND p.to_version IS NULL
GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2
"""
_RECORDED = """
SELECT a.qualified_name, count(*) AS materializations, count(DISTINCT m.partition_key) AS partitions,
  count(DISTINCT (m.partition_key, m.intent)) AS intents
FROM metadata.materialization m
JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
WHERE m.tenant_id = %(tenant)s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What each witness says of the days that were asked for, by dataset."""

    days: Sequence[str]
    in_the_sources: Mapping[CanonicalKey, Mapping[str, int]]
    in_the_records: Mapping[CanonicalKey, Mapping[str, int]]
    in_the_files: Mapping[CanonicalKey, Mapping[str, int]]
    flights_twice: int
    damaged: Sequence[str]
    doubled: Sequence[str]
    recorded: Sequence[Mapping[str, object]]
    """All materializations of each dataset: how many, of how many partitions, for how many intents."""

    def missing(self, key: CanonicalKey) -> list[str]:
        """The days that are not published."""
        return [day for day in self.days if day not in self.in_the_records[key]]

    @property
    def document(self) -> dict[str, object]:
        return {
            "flights": {
                "in_the_sources": sum(self.in_the_sources[FLIGHTS].values()),
                "in_the_records": sum(self.in_the_records[FLIGHTS].values()),
                "in_the_files": sum(self.in_the_files[FLIGHTS].values()),
                "known": {str(days): rows for days, rows in KNOWN_FLIGHTS.items() if days <= len(self.days)},
            },
            "flights_twice": self.flights_twice,
            "damaged": self.damaged,
            "current_twice": self.doubled,
            "datasets": {
                short_name(CanonicalKey.parse(str(row["qualified_name"]))): {
                    name: row[name] for name in ("materializations", "partitions", "intents")
                }
                for row in self.recorded
            },
            "missing": {short_name(key): self.missing(key) for key in DAILY},
        }


def count(stage: Stage, days: Sequence[str]) -> Counted:
    """Count the days that were asked for."""
    stage.title("d) Every row counted: in the sources, in the records, in the files")
    current = {key: stage.store.current(key, days) for key in DAILY}
    files, flights, damaged = _files(stage, current)
    with stage.store.session() as session:
        doubled = session.rows(_DOUBLED, {"tenant": session.tenant_value})
        recorded = session.rows(_RECORDED, {"tenant": session.tenant_value})
    found = Counted(
        days=days,
        in_the_sources={key: _source_rows(stage, key.table, days) for key in (FLIGHTS, WEATHER)},
        in_the_records={key: {str(one.partition): one.row_count or 0 for one in some} for key, some in current.items()},
        in_the_files=files,
        flights_twice=int(flights.is_duplicated().sum()),
        damaged=damaged,
        doubled=[f"{row['qualified_name']} {row['partition_key']}" for row in doubled],
        recorded=recorded,
    )
    _tell(stage, found)
    return found


def promises(found: Counted) -> list[Promise]:
    """What the counts have to be."""
    return [_all_flights(found), _files_agree(found), _nothing_doubled(found), _missing_named(found)]


def _all_flights(found: Counted) -> Promise:
    sources, records = found.in_the_sources[FLIGHTS], found.in_the_records[FLIGHTS]
    known = {days: rows for days, rows in KNOWN_FLIGHTS.items() if days <= len(found.days)}
    as_known = all(sum(records.get(day, 0) for day in found.days[:days]) == rows for days, rows in known.items())
    wrong = [f"{day}: {records.get(day, 0):,} of {rows:,}" for day, rows in sources.items() if records.get(day) != rows]
    told = f"{sum(records.values()):,} published, {sum(sources.values()):,} in the sources"
    told += "".join(f"; known of {days} days: {rows:,}" for days, rows in known.items())
    return Promise(
        name="every_flight_published",
        promise=f"all flights of {len(found.days)} days are published, day by day",
        evidence=f"{told}; wrong: {few(wrong)}" if wrong else told,
        held=not wrong and records.keys() == sources.keys() and as_known,
    )


def _files_agree(found: Counted) -> Promise:
    differing = [
        f"{short_name(key)} {day}: {rows:,} in its file, {found.in_the_records[key][day]:,} recorded"
        for key in DAILY
        for day, rows in found.in_the_files[key].items()
        if found.in_the_records[key][day] != rows
    ]
    files = sum(map(len, found.in_the_files.values()))
    return Promise(
        name="files_agree_with_records",
        promise="the committed files hold what is recorded, undamaged, and no flight twice",
        evidence=few([*found.damaged, *differing])
        or f"{files:,} files read, {sum(found.in_the_files[FLIGHTS].values()):,} flights, {found.flights_twice} twice",
        held=not differing and not found.damaged and not found.flights_twice,
    )


def _nothing_doubled(found: Counted) -> Promise:
    repeated = [str(row["qualified_name"]) for row in found.recorded if row["materializations"] != row["intents"]]
    materializations = sum(int(str(row["materializations"])) for row in found.recorded)
    partitions = sum(int(str(row["partitions"])) for row in found.recorded)
    return Promise(
        name="nothing_doubled",
        promise="no partition is current twice, and no intent is recorded twice",
        evidence=few([*found.doubled, *repeated])
        or f"{materializations:,} materializations of {partitions:,} partitions, each for an intent of its own",
        held=not found.doubled and not repeated,
    )


def _missing_named(found: Counted) -> Promise:
    """A day that the sources have nothing for is missing, and no other day is."""
    without_weather = [day for day in found.days if day not in found.in_the_sources[WEATHER]]
    missing = {key: found.missing(key) for key in DAILY}
    told = [f"{short_name(key)} has none for {few(some)}" for key, some in missing.items() if some]
    return Promise(
        name="missing_days_are_missing",
        promise="a day without data is missing, not zero, and no other day is missing",
        evidence=few(told) or f"every one of {len(found.days)} days has data, and is there",
        held=all(missing[key] == (without_weather if key == WEATHER else []) for key in DAILY),
    )


def _source_rows(stage: Stage, name: str, days: Sequence[str]) -> dict[str, int]:
    """The rows of each day, over the three airports' own databases."""
    rows: Counter[str] = Counter()
    between = {"first": date.fromisoformat(days[0]), "last": date.fromisoformat(days[-1])}
    for endpoint in stage.project.endpoints.values():
        if endpoint.location.system == "postgres":
            rows.update(dict(stage.source(endpoint.slug, name).query(_ROWS_BY_DAY, between).rows()))
    return dict(sorted(rows.items()))


def _files(
    stage: Stage, current: Mapping[CanonicalKey, Sequence[Current]]
) -> tuple[dict[CanonicalKey, dict[str, int]], pl.DataFrame, list[str]]:
    """The rows of each file by dataset and day, the names of all flights, and what is wrong with files."""
    rows: dict[CanonicalKey, dict[str, int]] = {key: {} for key in current}
    flights, damaged = [], []
    for key, some in current.items():
        for one in some:
            try:
                data = pl.from_arrow(stored(stage.metadata, one))
            except MetadataError as error:
                damaged.append(str(error))
                continue
            assert isinstance(data, pl.DataFrame)
            rows[key][str(one.partition)] = data.height
            if key == FLIGHTS:
                flights.append(data.select(_FLIGHT))
    return rows, pl.concat(flights) if flights else pl.DataFrame(), damaged


def _tell(stage: Stage, found: Counted) -> None:
    recorded = {str(row["qualified_name"]): row for row in found.recorded}
    columns = (
        "dataset",
        "days",
        "in the sources",
        "in the records",
        "in the files",
        "materializations",
        "without data",
    )
    rows = []
    for key in DAILY:
        sources = found.in_the_sources.get(key)
        rows.append(
            (
                short_name(key),
                len(found.in_the_records[key]),
                sum(sources.values()) if sources is not None else None,
                sum(found.in_the_records[key].values()),
                sum(found.in_the_files[key].values()),
                recorded.get(str(key), {}).get("materializations"),
                few(found.missing(key)) or None,
            )
        )
    stage.show(table(f"Rows of {found.days[0]} to {found.days[-1]}", columns, rows))
