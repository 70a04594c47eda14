"""Canonical keys: nothing is lost, nothing collides, and only the canonical form is read."""

import copy
import pickle
from itertools import product

import pytest
from hostile_names import keys, lookalikes, names, optional_names, prop, recut, slugs
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import WITHHELD, InvalidEndpoint, InvalidKey
from identity.keys import MAX_KEY_BYTES, CanonicalKey, Kind, dataset_key, endpoint_key, job_key, short_name


@prop
@given(keys)
def test_parse_is_the_inverse_of_format(key: CanonicalKey) -> None:
    assert CanonicalKey.parse(str(key)) == key


@prop
@given(keys)
def test_a_key_is_short_printable_ascii_that_is_safe_in_a_path(key: CanonicalKey) -> None:
    text = str(key)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= MAX_KEY_BYTES
    assert not {"", ".", ".."} & set(text.split(":", 3)[-1].split("/"))


@prop
@given(st.lists(st.tuples(optional_names, optional_names, st.text("%~/.2Fa", max_size=3)), unique=True))
def test_no_two_tuples_share_a_key(tuples: list[tuple[str | None, str | None, str]]) -> None:
    assert len({str(CanonicalKey(Kind.DATASET, "jfk", segments)) for segments in tuples}) == len(tuples)


@prop
@given(lookalikes())
def test_lookalikes_never_merge(pair: tuple[str, str]) -> None:
    one, other = (job_key("jfk", name) for name in pair)
    assert one != other
    assert str(one) != str(other)


@prop
@given(recut(3))
def test_where_a_name_ends_is_part_of_the_key(pair: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    one, other = pair
    assert str(CanonicalKey(Kind.DATASET, "jfk", one)) != str(CanonicalKey(Kind.DATASET, "jfk", other))


def test_no_two_short_names_share_a_key() -> None:
    """Exhaustive where the grammar is tight: every name of up to four of its own characters."""
    words = ["".join(word) for size in range(5) for word in product("%~./:2EFa", repeat=size)]
    texts = {str(job_key("jfk", word)) for word in words}
    assert len(texts) == len(words)


def test_no_two_short_triples_share_a_key() -> None:
    words = [None, "", *"%~./:2", "..", "%2F", "~/"]
    triples = [triple for triple in product(words, repeat=3) if triple[2] is not None]
    assert len({str(CanonicalKey(Kind.DATASET, "jfk", triple)) for triple in triples}) == len(triples)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The text of a key with one small edit."""
    text = str(draw(keys))
    at = draw(st.integers(0, len(text)))
    inserted = draw(st.sampled_from(["", *"%~/:.aAfF25\n \0\u00e9\ud800", "%2e", "%2f", "%C3", "%ED%A0%80", "%C0%AF"]))
    return draw(st.sampled_from([text[:at] + inserted + text[at + gap :] for gap in (0, 1, 3)] + [text.lower()]))


@st.composite
def encoded_too_much(draw: st.DrawFn) -> str:
    """The text of a key whose last character is encoded though it need not be."""
    text = str(job_key("jfk", draw(names) + draw(st.sampled_from("azAZ09_.-"))))
    return f"{text[:-1]}%{ord(text[-1]):02X}"


@prop
@given(edited() | encoded_too_much() | st.text("mid1:job:dataset:jfk:%~/.2Ff", max_size=40))
def test_only_the_canonical_text_is_read(text: str) -> None:
    try:
        key = CanonicalKey.parse(text)
    except InvalidKey:
        return
    assert str(key) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not have the parts of a key"),
        ("flights", "does not have the parts of a key"),
        ("jfk/public/flights", "does not have the parts of a key"),
        ("mid1:dataset", "does not have the parts of a key"),
        ("mid1:dataset:jfk:a/b/c:d", "does not have the parts of a key"),
        ("mid2:dataset:jfk:a/b/c", "does not start with mid1:"),
        ("MID1:dataset:jfk:a/b/c", "does not start with mid1:"),
        (" mid1:dataset:jfk:a/b/c", "does not start with mid1:"),
        ("mid1:table:jfk:a/b/c", "its kind is unknown"),
        ("mid1:DATASET:jfk:a/b/c", "its kind is unknown"),
        ("mid1::jfk:a/b/c", "its kind is unknown"),
        ("mid1:dataset::a/b/c", "it is not a slug"),
        ("mid1:dataset:JFK:a/b/c", "it is not a slug"),
        ("mid1:dataset:j%66k:a/b/c", "it is not a slug"),
        ("mid1:endpoint:jfk\n", "it is not a slug"),
        ("mid1:dataset:jfk", "has 3 segments, not 0"),
        ("mid1:dataset:jfk:a", "has 3 segments, not 1"),
        ("mid1:dataset:jfk:a/b", "has 3 segments, not 2"),
        ("mid1:dataset:jfk:a/b/c/d", "has 3 segments, not 4"),
        ("mid1:endpoint:jfk:~", "has 0 segments, not 1"),
        ("mid1:job:jfk:a/b", "has 1 segments, not 2"),
        ("mid1:dataset:jfk:a/b/~", "its own name is absent"),
        ("mid1:job:jfk:~", "its own name is absent"),
        ("mid1:endpoint:jfk:", "not encoded canonically"),
        ("mid1:dataset:jfk:a//c", "not encoded canonically"),
        ("mid1:dataset:jfk:/a/b", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/c\n", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/c d", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/caf\u00e9", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%c3%a9", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%41", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%2D", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/.", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/..", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%2E.", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/a%2Eb", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/~~", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%%", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%2", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%GG", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/c%", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/\uff21", "not encoded canonically"),
        ("mid1:dataset:jfk:a/b/%C3", "does not decode to UTF-8"),
        ("mid1:dataset:jfk:a/b/%C0%AF", "does not decode to UTF-8"),
        ("mid1:dataset:jfk:a/b/%ED%A0%80", "does not decode to UTF-8"),
        ("mid1:dataset:jfk:a/b/%F4%90%80%80", "does not decode to UTF-8"),
        ("mid1:dataset:jfk:a/b/%00", "contains the NUL character"),
        ("mid1:dataset:jfk:~/~/" + "x" * 1480, "takes 1501 bytes and may take 1500"),
    ],
)
def test_what_is_not_canonical_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        CanonicalKey.parse(text)
    assert reason in str(refusal.value)
    assert refusal.value.fix
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("name", ["\ud800", "a\udfff", "\ud83d\ud83d"])
def test_half_of_a_surrogate_pair_is_refused(name: str) -> None:
    for segments in ((name, None, "t"), (None, name, "t"), (None, None, name)):
        with pytest.raises(InvalidKey, match="lone surrogate"):
            CanonicalKey(Kind.DATASET, "jfk", segments)


def test_nul_is_refused() -> None:
    with pytest.raises(InvalidKey, match="NUL"):
        dataset_key("jfk", table="a\0b")


@pytest.mark.parametrize(
    "slug", ["", "-a", "_a", "A", "a b", "a.b", "\u00e9", "a" * 64, "a\n", "\u0661", "a/b", "a:b", "\0"]
)
def test_an_endpoint_is_a_slug(slug: str) -> None:
    with pytest.raises(InvalidEndpoint, match="it is not a slug") as refusal:
        endpoint_key(slug)
    assert "warehouse-eu" in refusal.value.fix


@given(slugs)
@prop
def test_every_slug_is_an_endpoint(slug: str) -> None:
    assert str(endpoint_key(slug)) == f"mid1:endpoint:{slug}"


def test_a_key_may_take_1500_bytes_and_no_more() -> None:
    head = len("mid1:job:jfk:")
    assert len(str(job_key("jfk", "x" * (MAX_KEY_BYTES - head)))) == MAX_KEY_BYTES
    assert len(str(job_key("jfk", "\u00e9" * ((MAX_KEY_BYTES - head) // 6)))) <= MAX_KEY_BYTES
    for name in ("x" * (MAX_KEY_BYTES - head + 1), "\u00e9" * ((MAX_KEY_BYTES - head) // 6 + 1), "/" * 10**5):
        with pytest.raises(InvalidKey, match="may take 1500") as refusal:
            job_key("jfk", name)
        assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "postgresql://sales:Kanari@db/x",
        "copy of postgresql+psycopg://sales:Kanari/31337@db:5432/x?y#z",
        "https://:Kanari@example.com",
        "jdbc:mysql://sales:Kan@nari@db",
    ],
)
def test_a_url_with_a_password_is_not_a_name(name: str) -> None:
    for segments in ((name, None, "t"), (None, name, "t"), (None, None, name)):
        with pytest.raises(InvalidKey, match="with a credential") as refusal:
            CanonicalKey(Kind.DATASET, "jfk", segments)
        assert refusal.value.value == WITHHELD


@pytest.mark.parametrize("name", ["s3://bucket/a:b.parquet", "user@example.com", "a:b@c", "http://example.com:80/x"])
def test_a_url_without_a_password_is_a_name(name: str) -> None:
    assert CanonicalKey.parse(str(dataset_key("lake", table=name))).table == name


def test_what_a_dataset_is_called() -> None:
    key = dataset_key("jfk", source="flights", schema="public", table="Daily Delays")
    assert str(key) == f"{key}" == "mid1:dataset:jfk:flights/public/Daily%20Delays"
    assert (key.kind, key.endpoint, key.source, key.schema, key.table) == (
        Kind.DATASET,
        "jfk",
        "flights",
        "public",
        "Daily Delays",
    )
    assert str(dataset_key("lake", table="")) == "mid1:dataset:lake:~/~/%"
    assert str(dataset_key("lake", source="", schema="..", table="~")) == "mid1:dataset:lake:%/%2E%2E/%7E"


@pytest.mark.parametrize("part", ["source", "schema", "table"])
def test_only_a_dataset_has_a_table(part: str) -> None:
    for key in (endpoint_key("jfk"), job_key("jfk", "load")):
        assert not hasattr(key, part)


@pytest.mark.parametrize(
    ("kind", "namespace", "segments"),
    [
        ("dataset", "jfk", ("a", "b", "c")),
        (Kind.DATASET, "jfk", ["a", "b", "c"]),
        (Kind.DATASET, "jfk", "abc"),
        (Kind.DATASET, "jfk", ("a", "b", 3)),
        (Kind.DATASET, "jfk", ("a", "b", b"c")),
        (Kind.DATASET, None, ("a", "b", "c")),
    ],
)
def test_what_the_type_checker_refuses_is_refused_at_run_time_too(
    kind: Kind, namespace: str, segments: tuple[str]
) -> None:
    with pytest.raises(TypeError):
        CanonicalKey(kind, namespace, segments)


@prop
@given(st.lists(keys, max_size=5))
def test_keys_sort_as_their_texts_do(several: list[CanonicalKey]) -> None:
    assert [str(key) for key in sorted(several)] == sorted(map(str, several))
    assert len(set(several)) == len(set(map(str, several)))


def test_a_key_is_only_compared_with_keys() -> None:
    with pytest.raises(TypeError):
        endpoint_key("jfk") < "mid1:endpoint:jfk"  # noqa: B015
    assert endpoint_key("jfk") != "mid1:endpoint:jfk"


@prop
@given(keys)
def test_a_key_survives_pickle_and_copy(key: CanonicalKey) -> None:
    assert pickle.loads(pickle.dumps(key)) == key == copy.deepcopy(key)


def test_the_arity_of_a_kind() -> None:
    assert {str(kind): kind.arity for kind in Kind} == {"endpoint": 0, "dataset": 3, "job": 1, "dashboard": 1}


def test_the_short_name_is_the_full_one_where_it_would_be_ambiguous() -> None:
    assert short_name(dataset_key("jfk", source="jfk", schema="public", table="flights")) == "jfk/public/flights"
    assert short_name(dataset_key("lake", table="codes")) == "lake/codes"
    strange = dataset_key("jfk", source="jfk", schema="public", table="a/b")
    assert CanonicalKey.parse(short_name(strange)) == strange
