"""A fire as long as asked, on a server of its own: python tests/fire/burning.py --seconds 600

Prints what it did, and every promise that was broken; the exit code says whether one was.
"""

import argparse
import sys

from fire_plan import TENANT, register
from fire_run import Blaze, Burnt, Urls, burn
from fire_server import Crashable, crashable
from fire_verdict import violations

from resources.metadata_store import MetadataStore
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions


def burn_down(blaze: Blaze) -> Burnt:
    """A fire with everything, crashes of the server too."""
    with crashable() as plane:
        engine = app_engine(plane.url("metadata_app"))
        register(MetadataStore(Sessions(engine, TENANT, "fire")))
        engine.dispose()
        return burn(urls_of(plane), blaze, plane.keep_crashing)


def urls_of(plane: Crashable) -> Urls:
    return Urls(admin=plane.url("postgres"), app=plane.url("metadata_app"), relay=plane.url("metadata_relay"))


def report(burnt: Burnt, problems: list[str]) -> str:
    """The counts, a line each."""
    counts = {**burnt.counts(), "violations": len(problems)}
    return "\n".join(f"{count:>8} {what}" for what, count in counts.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    burnt = burn_down(Blaze(seconds=arguments.seconds))
    problems = violations(burnt.evidence)
    print("\n".join([report(burnt, problems), *problems[:50]]), flush=True)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
