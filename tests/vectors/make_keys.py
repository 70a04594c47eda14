"""Prints keys.jsonl. Run once; the file is frozen, because what it says is stored in databases.

    python tests/vectors/make_keys.py > tests/vectors/keys.jsonl

It shares nothing with the package: the grammar is written down a second time, on top of other functions. Names may be
added at the end of a list. A line that changes means that stored ids no longer match their keys.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from urllib.parse import quote

NS_ROOT = bytes.fromhex("d6a36945645d4ac59ee1ec690d0bebff")
TENANTS = ("default", "acme")

# fmt: off
PLAIN = ["flights", "Flights", "FLIGHTS", "daily_delays", "a.b", "v1.2-rc_3", "-", "_", "0", "a" * 63, "null", "None"]
DOTS = [".", "..", "...", "a.", ".a", "./a", "../a", "a/..", "..%"]
SEPARATORS = [
    "/", "//", "a/b", "/a", "a/", ":", "::", "a:b", "\\", "a\\b", "|", ",", ";", "&", "=", "#", "?", "+", "a b",
]
MARKS = [
    "~", "~~", "a~b", "%", "%%", "%2F", "%2f", "%25", "%252F", "%7E", "%2E", "100%", "%zz", "mid1", "mid1:dataset:a:b",
]
QUOTES = [
    '"', '""', "'", "''", "`", '"Flights"', "O'Hare", "[flights]", "$1", "${x}", "{{x}}", "<b>", "(a)", "*", "!", "^",
    "@",
]
SPACE = [
    " ", "  ", " a", "a ", "\t", "\n", "\r\n", "\x01", "\x1b[31m", "\x7f", "\u00a0", "\u2028", "\u3000", "\u200b",
    "\ufeff",
]
NFC_NFD = [
    "caf\u00e9", "cafe\u0301", "\u00c5", "A\u030a", "\u212b", "\u1e69", "s\u0323\u0307", "s\u0307\u0323", "\ud55c",
    "\u1112\u1161\u11ab", "\u2126", "\u03a9", "\u0344", "\u0308\u0301", "\ufb01", "fi",
]
LETTERS = [
    "\u00df", "ss", "SS", "\u0131", "\u0130", "i", "I", "\u212a", "K", "\u0430", "a", "\u65e5\u672c\u8a9e", "\u0645",
    "\u202eabc",
]
EMOJI = [
    "\U0001f6eb", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\u2764",
    "\U0010ffff",
]
LONG = ["\u00e9" * 31 + "a", "\U0001f6eb" * 15 + "abc", "x" * 400, "/" * 400, "\u65e5" * 150, "x" * 1479]
PLACES = [
    "s3://bucket/prefix/part-0.parquet", "file:///data/x.csv", "dbfs:/mnt/data", "C:\\data\\x.csv",
    "https://example.com/?a=1#b",
]
# fmt: on
NAMES = [*PLAIN, *DOTS, *SEPARATORS, *MARKS, *QUOTES, *SPACE, *NFC_NFD, *LETTERS, *EMOJI, *LONG, *PLACES, ""]

PAIRS = [None, "", "~", "%", ".", "a/b", "a", "A", '"', "\u00e9", "e\u0301"]
ENDPOINTS = ["jfk", "ewr", "lga", "warehouse-eu", "0", "a_b-c", "a" * 63]

Parts = tuple[str, str, tuple[str | None, ...]]


def things() -> Iterator[Parts]:
    yield from (("endpoint", slug, ()) for slug in ENDPOINTS)
    yield from (("dataset", slug, ("flights", "public", "flights")) for slug in ENDPOINTS)
    yield from (("dataset", "jfk", (None, None, name)) for name in NAMES)
    yield from (("dataset", "jfk", (source, schema, "t")) for source in PAIRS for schema in PAIRS)
    yield from (("job", "jfk", (name,)) for name in NAMES if len(name) < 64)


def key_of(kind: str, namespace: str, segments: tuple[str | None, ...]) -> str:
    return ":".join(["mid1", kind, namespace, *(["/".join(map(encoded, segments))] if segments else [])])


def encoded(segment: str | None) -> str:
    if segment is None:
        return "~"
    dots = segment in {".", ".."}
    return "%2E" * len(segment) if dots else quote(segment, safe="").replace("~", "%7E") or "%"


def uuid5(namespace: bytes, name: str) -> bytes:
    """RFC 9562, section 5.5."""
    digest = bytearray(hashlib.sha1(namespace + name.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def dashed(raw: bytes) -> str:
    text = raw.hex()
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def line(kind: str, namespace: str, segments: tuple[str | None, ...]) -> str:
    key = key_of(kind, namespace, segments)
    ids = {tenant: dashed(uuid5(uuid5(NS_ROOT, f"tenant:{tenant}"), key)) for tenant in TENANTS}
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    vector = {"kind": kind, "namespace": namespace, "segments": segments, "key": key, "sha256": sha256, "ids": ids}
    return json.dumps(vector)  # in ASCII: an editor cannot normalise it


if __name__ == "__main__":
    sys.stdout.writelines(f"{line(*thing)}\n" for thing in things())
