"""search: what has facets of OpenLineage, for people and as JSON, by pages."""

from typing import Any

import pytest
from cli_calls import Run, Writer

from metadata_assets.cli import documents
from tests.importers import lineage_events as told


def said(writer: Writer, *jobs: str) -> None:
    events: list[dict[str, Any]] = [told.event(job=job, run=f"run-{job}", facets={"of": {"job": job}}) for job in jobs]
    for one in events:
        one["job"]["facets"] = {"sql": {"query": "SELECT 1", "n": [len(jobs)]}}
    told.imported(writer.store, events)


def test_jobs_are_found_by_pages(run: Run, writer: Writer) -> None:
    said(writer, "a", "b", "c")
    whole = run("search", "--facet", "sql.query=SELECT 1", "--facet", "sql.n=3", "--json").json
    assert whole["next"] is None
    assert sorted(one["key"].rpartition(":")[2] for one in whole["hits"]) == ["a", "b", "c"]
    assert all(set(one) == set(documents.SEARCHED.split("[{")[1].split("}]")[0].split(", ")) for one in whole["hits"])
    first = run("search", "--facet", "sql", "--limit", "2", "--json").json
    rest = run("search", "--facet", "sql", "--limit", "2", "--after", first["next"], "--json").json
    assert first["hits"] + rest["hits"] == whole["hits"]
    people = run("search", "--facet", "sql", "--limit", "2").out
    assert f"there may be more: --after {first['next']}" in people
    assert "nothing has such facets" in run("search", "--facet", "sql.n=4").out


def test_runs_are_found(run: Run, writer: Writer) -> None:
    said(writer, "a", "b")
    found = run("search", "--runs", "--facet", "of.job=b", "--json").json
    assert [(one["run"], one["status"]) for one in found["hits"]] == [("run-b", "succeeded")]
    assert set(found["hits"][0]) == set(documents.SEARCHED_RUNS.split("[{")[1].split("}]")[0].split(", "))
    assert "run-b" in run("search", "--runs", "--facet", "of.job=b").out
    assert run("search", "--runs", "--facet", "of", "--after", "run-a", "--json").json["hits"] == found["hits"]


@pytest.mark.parametrize("arguments", [[], ["--facet", "a..b"], ["--facet", "a", "--after", "x"]])
def test_what_cannot_be_asked_is_refused(run: Run, arguments: list[str]) -> None:
    assert run("search", *arguments).code == 2
