"""An executor that is not Dagster: it starts an attempt, stops itself (SIGSTOP), and completes it when it is let on.

`python paused_executor.py URL DATASET RUN` says `taken over` where somebody else had its task meanwhile.
"""

import os
import signal
import sys
from datetime import timedelta

from identity.idempotency import Delivery, Intent
from identity.ids import tenant_id
from identity.keys import CanonicalKey
from resources.metadata_store import MetadataStore
from resources.models import Staged
from resources.postgres.engine import app_engine
from resources.postgres.errors import LeaseTakenOver
from resources.postgres.session import Sessions


def main(url: str, dataset: str, run_id: str) -> str:
    store = MetadataStore(Sessions(app_engine(url), tenant_id("default"), "executor"))
    lease = store.start_attempt(run_id, "step", 0, "paused", timedelta(seconds=1))
    os.kill(os.getpid(), signal.SIGSTOP)
    entity = store.entity(CanonicalKey.parse(dataset))
    delivery = Delivery(entity.tenant, entity.id, None, Intent("key", "older"), "result")
    staged = Staged(
        delivery=delivery, location=None, manifest_sha256=None, row_count=1, byte_count=1, data_version="older"
    )
    try:
        store.complete(lease, [staged], {}, publish="immediately")
    except LeaseTakenOver:
        return "taken over"
    return "completed"


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]))
