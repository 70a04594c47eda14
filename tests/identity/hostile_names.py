"""Names as hostile as the systems allow, and the settings that every property here runs with."""

import random
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, unquote

from hypothesis import settings
from hypothesis import strategies as st
from thorough import many

from identity.credentials import holds_credential
from identity.keys import CanonicalKey, Kind

prop = settings(deadline=None, derandomize=True, max_examples=many(80, usually=25))

TOKENS = [
    *"/:%~.-_\\'\"`|,;=#?&+@ \t\n\x01\x1b\x7f",
    *("..", "%2F", "%2f", "%25", "%7E", "%2E", "~/~", "//", "mid1:", "a", "A", "b", "flights"),
    *("\u00e9", "e\u0301", "\u00c5", "A\u030a", "\u212b", "\u00df", "\u0131", "\u0130", "\ufb01", "fi"),
    *("\U0001f6eb", "\u200d", "\ufe0f", "\u200b", "\u202e", "\ufeff", "\u2028", "\ud7ff", "\ue000", "\U0010ffff"),
]
SIXTY_THREE_BYTES = ["a" * 63, "/" * 63, "\u00e9" * 31 + "a", "e\u0301" * 21, "\U0001f6eb" * 15 + "abc"]


_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=24)
names = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=8).map("".join),
    st.sampled_from(["", ".", "..", "~", "%", *SIXTY_THREE_BYTES]),
    _text,
).filter(lambda name: not holds_credential(name))
optional_names = st.none() | names
slugs = st.sampled_from(["jfk", "ewr", "warehouse-eu", "a" * 63]) | st.from_regex(
    r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True
)

datasets = st.builds(CanonicalKey, st.just(Kind.DATASET), slugs, st.tuples(optional_names, optional_names, names))
keys = st.one_of(
    st.builds(CanonicalKey, st.just(Kind.ENDPOINT), slugs, st.just(())),
    datasets,
    st.builds(CanonicalKey, st.just(Kind.JOB), slugs, st.tuples(names)),
)

TWISTS: list[Callable[[str], str]] = [
    lambda name: quote(name, safe=""),
    unquote,
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: unicodedata.normalize("NFKC", name),
    str.casefold,
    str.upper,
    str.strip,
    lambda name: name + "/",
    lambda name: "~" + name,
    lambda name: name.replace("%", ""),
]


@st.composite
def lookalikes(draw: st.DrawFn) -> tuple[str, str]:
    """Two different names that one careless step would make the same."""
    name = draw(names)
    alike = [other for twist in TWISTS if (other := twist(name)) != name and "\0" not in other]
    return name, draw(st.sampled_from(alike).filter(lambda other: not holds_credential(other)))


@st.composite
def recut(draw: st.DrawFn, size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two tuples of `size` names that are the same text, cut at different places.

    The text is short and made of what separates: by chance alone two random names would hardly ever collide.
    """
    text = draw(
        st.text("/:%~s1", min_size=1, max_size=4)
        | st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4).map("".join)
    )
    cuts = st.lists(st.integers(0, len(text)), min_size=size - 1, max_size=size - 1).map(sorted)
    one = draw(cuts)
    return _cut(text, one), _cut(text, draw(cuts.filter(lambda other: other != one)))


def _cut(text: str, cuts: list[int]) -> tuple[str, ...]:
    return tuple(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))


_CLOSE = [*'/.:%~#aAbB"\\', "\u00e9", "e\u0301"]


close_names = st.one_of(
    st.lists(st.sampled_from(_CLOSE), min_size=1, max_size=4).map("".join),
    st.sampled_from([*TOKENS, *SIXTY_THREE_BYTES]),
    names,
).filter(lambda name: not holds_credential(name))


def hostile_tuples(seed: int, count: int) -> list[tuple[str | None, str | None, str]]:
    """Tuples of short names of what separates, quotes, escapes and looks alike: the same ones for a seed.

    Half of them are neighbours: few characters, cut at other places or in another case, so that one careless step makes
    two of them one. By chance alone two of the other half would hardly ever meet.
    """
    draw = random.Random(seed)
    pieces = [*TOKENS, "\\", "\\.", "''", '"', "[", "]", "`", "(", ")", "\u241f", "x", "y", "z"]
    sizes = draw.choices((1, 2, 3, 4), (6, 5, 3, 1), k=2000)
    pool: list[str | None] = [None, "", *("".join(draw.choices(pieces, k=size)) for size in sizes)]
    found: dict[tuple[str | None, str | None, str], None] = {}
    while len(found) < count:
        if len(found) < count // 2:
            text = draw.choices(_CLOSE, k=draw.randint(3, 7))
            for _ in range(3):
                one, two = sorted(draw.choices(range(len(text)), k=2))
                source, schema, table = ("".join(part) for part in (text[:one], text[one:two], text[two:]))
                found |= dict.fromkeys([(source, schema, table), (source.upper(), schema, table.upper())])
        else:
            drawn = draw.choices(pool, k=3)
            found[drawn[0], drawn[1], drawn[2] or "t"] = None
    return list(found)[:count]


def quoted(name: str, pair: str, doubled: bool) -> str:
    opening, closing = pair
    escaped = (
        name.replace(closing, closing * 2) if doubled else name.replace("\\", r"\\").replace(closing, rf"\{closing}")
    )
    return f"{opening}{escaped}{closing}"
