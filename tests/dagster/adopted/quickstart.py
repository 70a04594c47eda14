"""After the shape of Dagster's quickstart (top stories of a news site): files of its own, nothing goes through Dagster.

What is fetched there is made up here.
"""

import json
import os
from collections import Counter
from pathlib import Path

import dagster as dg

TITLES = ["The dog and the cat", "A cat is a cat", "Of dogs"]


def folder() -> Path:
    found = Path(os.environ["METADATA_PROJECT"]) / "data"
    found.mkdir(exist_ok=True)
    return found


@dg.asset(group_name="news", kinds={"api"})
def story_ids() -> None:
    """The ids of the top stories."""
    (folder() / "ids.json").write_text(json.dumps(list(range(len(TITLES)))))


@dg.asset(deps=[story_ids], group_name="news", kinds={"api"})
def stories(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The stories themselves."""
    ids = json.loads((folder() / "ids.json").read_text())
    context.log.info(f"fetched {len(ids)} items")
    (folder() / "stories.json").write_text(json.dumps([TITLES[one] for one in ids]))
    preview = dg.MetadataValue.md("\n".join(TITLES))
    return dg.MaterializeResult(metadata={"num_records": len(ids), "preview": preview})


@dg.asset(deps=[stories], group_name="news", kinds={"plot"})
def frequent_words() -> dg.MaterializeResult:
    """The most frequent words, with a picture in the metadata that is larger than a record keeps."""
    words = Counter(" ".join(json.loads((folder() / "stories.json").read_text())).lower().split())
    (folder() / "words.json").write_text(json.dumps(words))
    return dg.MaterializeResult(metadata={"plot": dg.MetadataValue.md("x" * 100_000), "words": len(words)})


everything = dg.define_asset_job("everything", selection="*")
defs = dg.Definitions(
    assets=[story_ids, stories, frequent_words],
    jobs=[everything],
    schedules=[dg.ScheduleDefinition(job=everything, cron_schedule="0 0 * * *")],
)
EXPECTED = {"story_ids": 1, "stories": 1, "frequent_words": 1}
