"""Which endpoints an import writes below: the ones that somebody names, else those of the project that fit."""

from collections.abc import Mapping, Sequence

from identity.errors import shown
from identity.naming import SYSTEMS, System
from metadata_assets.importers.dbt_relations import Target, Targets
from metadata_assets.importers.errors import NoSuchTarget, WrongSystem
from metadata_assets.spec.problems import did_you_mean


def chosen(
    said: Sequence[str], *, declared: Mapping[str, Target], known: Mapping[str, Target], rules: System, adapter: str
) -> Targets:
    """The targets that `[DATABASE=]SLUG` texts name among the `known` ones; without any, the `declared` that fit.

    Raises NoSuchTarget, WrongSystem, WrongDatabase.
    """
    if not said:
        return Targets([one for one in declared.values() if _fits(one, rules)])
    targets: dict[str, Target] = {}
    named = {}
    for text in said:
        database, _equals, slug = text.rpartition("=")
        if slug not in known:
            raise NoSuchTarget(endpoint=shown(slug), hint=did_you_mean(slug, list(known)))
        if not _fits(known[slug], rules):
            raise WrongSystem(endpoint=slug, system=known[slug].system, adapter=adapter)
        targets[slug] = known[slug]
        if database:
            named[database] = slug
    return Targets(list(targets.values()), named)


def _fits(target: Target, rules: System) -> bool:
    found = SYSTEMS.get(target.system)
    return found is not None and found.name == rules.name
