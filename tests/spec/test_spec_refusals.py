"""Projects with mistakes: all of them are told at once, at their lines, with the way out and without a secret."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from metadata_assets.spec import ProjectInvalid, load_project
from metadata_assets.spec.yaml_source import MOST_VALUES, parse_source

INVALID = YAML(typ="safe", pure=True).load(Path(__file__).with_name("invalid_projects.yml").read_text("utf-8"))
METADATA = """name: test
endpoints:
  jfk: {system: postgres, database: jfk}
  lake: {system: files}
"""
DATASETS = """datasets:
  - name: flights
    endpoint: lake
    schema: nyc
    tags: [a, "b"]
    partitions: {daily: {start: 2013-01-01, end: 2014-01-01, timezone: America/New_York}}
    depends_on: [jfk/public/flights, {dataset: lake/raw, as: other, partitions: all, missing: skip}]
    python: code:flights
    checks: [{name: some, python: code:some, blocking: false}]
  - name: raw
    endpoint: lake
    partitions: {static: [a, b]}
    python: code:raw
"""


def write(folder: Path, metadata: str | bytes | None, datasets: str | bytes | None) -> Path:
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    for file, text in {"metadata.yml": metadata, "datasets/all.yml": datasets}.items():
        if text is not None:
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def told(folder: Path) -> list[str]:
    with pytest.raises(ProjectInvalid) as refused:
        load_project(folder)
    assert refused.value.exit_code == 2
    assert refused.value.__cause__ is refused.value.__context__ is None, "pydantic and YAML repeat what was written"
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize("project", INVALID, ids=lambda project: project["case"])
def test_every_mistake_is_told_at_its_line_with_the_way_out(tmp_path: Path, project: dict[str, Any]) -> None:
    found = told(write(tmp_path, project.get("metadata", METADATA), project.get("datasets")))
    assert found == project["says"]
    assert "hunter2" not in str(found)


def test_the_error_lists_all_problems_and_crosses_processes(tmp_path: Path) -> None:
    folder = write(tmp_path, METADATA + "endpoint: x\n", DATASETS.replace("raw", "row", 1))
    with pytest.raises(ProjectInvalid) as refused:
        load_project(folder)
    assert str(refused.value) == (
        f"the project {folder} cannot be used, correct this first:\n"
        "  datasets/all.yml:7:48: datasets[0].depends_on[1].dataset: no dataset 'lake/row'; did you mean lake/raw?\n"
        "  metadata.yml:5:1: endpoint: there is no such field here; did you mean endpoints?"
    )
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.problems) == (str(refused.value), refused.value.problems)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        (None, "metadata.yml:1:1: it cannot be read (No such file or directory); make it a readable file"),
        (b"name: \xff\xfe", "metadata.yml:1:1: byte 6 is not UTF-8; save the file as UTF-8"),
        (b"name: x\nb: \x07", "metadata.yml:2:1: a control character is in this line; remove it"),
        (b"a: " + b"[" * 5000, "metadata.yml:1:1: it is nested too deep; write it flatter"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, metadata: bytes | None, complaint: str) -> None:
    assert told(write(tmp_path, metadata, DATASETS)) == [complaint]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (complaint,) = told(tmp_path / "nowhere")
    assert complaint == "metadata.yml:1:1: it cannot be read (No such file or directory); make it a readable file"


def test_what_a_broken_file_may_declare_is_not_called_unknown(tmp_path: Path) -> None:
    folder = write(tmp_path, METADATA, DATASETS.replace("lake/raw", "lake/elsewhere"))
    (folder / "datasets" / "broken.yaml").write_text("datasets: [")
    (complaint,) = told(folder)
    assert complaint.startswith("datasets/broken.yaml:1:12: not valid YAML:")


def test_aliases_do_not_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    source, problems = parse_source("\n".join(lines), "metadata.yml")
    assert source is not None
    assert len(source.values_at) <= MOST_VALUES
    assert str(problems[0]) == "metadata.yml:1:1: it holds more than 100,000 values; split it, or alias less"
    assert len(problems) == 1


SCRAPS = ["\n", *" ,:-[]{}'\"#|>?~@", "  ", "- ", "&a", "*a", "!t", "hunter2"]


@given(
    place=st.integers(0, len(DATASETS)),
    removed=st.integers(0, 12),
    added=st.lists(st.sampled_from(SCRAPS) | st.characters(), max_size=4),
    in_metadata=st.booleans(),
)
def test_any_text_is_a_project_or_is_refused(
    tmp_path: Path, place: int, removed: int, added: list[str], in_metadata: bool
) -> None:
    """No mistake, however strange, gets another error than ProjectInvalid; every problem is somewhere in its file."""
    text = METADATA if in_metadata else DATASETS
    text = text[:place] + "".join(added) + text[place + removed :]
    raw = text.encode("utf-8", "surrogatepass")
    write(tmp_path, raw if in_metadata else METADATA, DATASETS if in_metadata else raw)
    try:
        load_project(tmp_path)
    except ProjectInvalid as refused:
        for problem in refused.problems:
            lines = (tmp_path / problem.at.file).read_bytes().count(b"\n") + 2
            assert 1 <= problem.at.line <= lines + text.count("\r") + text.count("\x85") + text.count("\u2028") + 1
            assert problem.reason
            assert problem.fix
