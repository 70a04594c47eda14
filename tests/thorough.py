"""How much is tried: some of it each time, all of it where `--hypothesis-profile thorough` asks for it."""

from hypothesis import settings

THOROUGH = settings.get_current_profile_name() == "thorough"


def many(count: int, *, usually: int) -> int:
    """`count` in a thorough run, else what is tried `usually`."""
    return count if THOROUGH else usually
