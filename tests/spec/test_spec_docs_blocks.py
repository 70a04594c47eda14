"""Descriptions from docs blocks."""

from pathlib import Path

import pytest

from metadata_assets.spec import ProjectInvalid, load_project

METADATA = "name: shop\nendpoints:\n  lake: {system: files}\n"
DATASETS = """datasets:
  - name: orders
    endpoint: lake
    python: code:f
    description: "{{ doc('orders') }}"
    columns:
      - {name: id, description: '{{ doc("id") }}'}
      - {name: n, description: "As {{ it }} stands."}
    checks: [{name: x, python: "code:f", description: "{{ doc('id') }}"}]
"""
ORDERS = "{% docs orders %}\nWhat was *bought*.\n\nDaily.\n{% enddocs %}"
BLOCKS = f"# All\n\n{ORDERS}\n\n{{%- docs id -%}} Its number. {{% enddocs %}}\n"


def project(folder: Path, blocks: str, datasets: str = DATASETS) -> Path:
    (folder / "datasets" / "texts").mkdir(parents=True)
    (folder / "metadata.yml").write_text(METADATA)
    (folder / "datasets" / "all.yml").write_text(datasets)
    (folder / "datasets" / "texts" / "orders.md").write_text(blocks)
    return folder


def test_a_block_stands_in_the_place_of_its_name(tmp_path: Path) -> None:
    (orders,) = load_project(project(tmp_path, BLOCKS)).datasets
    assert orders.description == "What was *bought*.\n\nDaily."
    assert [one.description for one in orders.columns] == ["Its number.", "As {{ it }} stands."]
    assert [one.description for one in orders.checks] == ["Its number."]


UNKNOWN = "there is no docs block 'id'; did you mean idd?"
MD = "datasets/texts/orders.md"


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (
            BLOCKS.replace("docs id", "docs idd"),
            [
                f"datasets/all.yml:7:33: datasets[0].columns[0].description: {UNKNOWN}",
                f"datasets/all.yml:9:55: datasets[0].checks[0].description: {UNKNOWN}",
            ],
        ),
        (BLOCKS + "{% docs more %}", [f"{MD}:10:1: the block more is not closed; write {{% enddocs %}}"]),
        ("{% enddocs %}" + BLOCKS, [f"{MD}:1:1: no block is open here; write {{% docs name %}} before it"]),
        (
            BLOCKS + "{% docs id %}{% enddocs %}",
            [f"{MD}:10:1: the block id is there twice; rename one of them, the other is at {MD}:9:1"],
        ),
        (
            BLOCKS + "{% docs a b %}",
            [f"{MD}:10:1: the block has no plain name; write {{% docs name %}}, of letters, digits and _"],
        ),
    ],
)
def test_mistakes_are_told_at_their_places(tmp_path: Path, blocks: str, says: list[str]) -> None:
    with pytest.raises(ProjectInvalid) as refused:
        load_project(project(tmp_path, blocks))
    assert [str(one) for one in refused.value.problems] == says
