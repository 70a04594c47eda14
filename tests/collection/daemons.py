"""What Dagster's daemon does with the sensor of a collection, a clock that somebody moves, and the project of both."""

from datetime import UTC, datetime

import dagster as dg

from resources.configurable import MetadataResource

PROJECT = """
name: shops
endpoints:
  shop: {{system: postgres, database: {database}, collect: {{schemas: [public], every: 10m, profile: true}}}}
  shop-2: {{system: postgres, url: env:SHOP_2, database: {database}, collect: {{}}}}
  shop_2: {{system: postgres, database: {database}, collect: {{}}}}
  uncollected: {{system: postgres, database: {database}}}
  lake: {{system: files}}
"""


class NoOutputs(dg.IOManager):
    """The default I/O manager of a project: a collection has no business with it."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError(f"{context.step_key} stored {obj!r}")

    def load_input(self, context: dg.InputContext) -> None:
        raise AssertionError(context)


class Clock:
    """One that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Daemon:
    """What Dagster's daemon does with one sensor: keep its cursor, launch what it asks for, once for each run key."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, job: str = "collect_shop") -> None:
        self.definitions, self.instance, self.job = definitions, instance, job
        self.cursor: str | None = None
        self.launched: set[str] = set()

    def look(self) -> dg.RunRequest | str:
        """One evaluation: the run that it asks for, or why it asks for none."""
        repository = self.definitions.get_repository_def()
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=repository,
            resources={"metadata": MetadataResource()},
        )
        with context:
            tick = repository.get_sensor_def(f"{self.job}_on_change").evaluate_tick(context)
        self.cursor = tick.cursor
        return tick.run_requests[0] if tick.run_requests else str(tick.skip_message)

    def run(self, request: dg.RunRequest | str) -> dg.ExecuteInProcessResult:
        assert isinstance(request, dg.RunRequest)
        assert request.run_key is not None
        assert request.run_key not in self.launched, "the daemon launches a run key once"
        self.launched.add(request.run_key)
        return self.definitions.resolve_job_def(self.job).execute_in_process(
            instance=self.instance, tags={**request.tags, "dagster/run_key": request.run_key}, raise_on_error=False
        )
