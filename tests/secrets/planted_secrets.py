"""A password in every spelling that people paste, and the ways to find it again."""

import base64
import json
import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

from identity.errors import MetadataError

SECRET = "Kanari-31337"
URL = f"postgresql://jo:{SECRET}@db/x"
WORD = "Kanari31337"  # it could be the name of a placeholder
TOKEN = "Kanari31337x7Rk2Lm9QpZ4vT8sYwBc3HdJ6"


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def escapes(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in text)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# The text that is planted, and what in it must not be seen again besides the password itself.
SPELLINGS: Mapping[str, tuple[str, str]] = {
    "userinfo": (URL, SECRET),
    "userinfo, encoded": (f"postgresql://jo:{percent(SECRET)}@db/x", percent(SECRET)),
    "userinfo, no user": (f"redis://:{SECRET}@cache:6379/0", SECRET),
    "userinfo, a space": (f"postgresql://jo:my {SECRET}@db/x", SECRET),
    "url, encoded": (quote(URL, safe=""), SECRET),
    "url, encoded twice": (quote(quote(f"postgresql://jo:{percent(SECRET)}@db", safe=""), safe=""), SECRET[:6]),
    "query": (f"https://db.example.com/x?user=jo&password={SECRET}&ssl=true", SECRET),
    "signed url": (f"https://store.example.com/c?sv=2024&sig={SECRET}%3D&se=2030", SECRET),
    "odbc": (f"Driver={{PG}};Server=db;Uid=jo;Pwd={SECRET};", SECRET),
    "odbc, braces": (f"DRIVER={{PG}};UID=jo;PWD={{{SECRET};x}};SERVER=db", SECRET),
    "odbc, a word in braces": (f"DRIVER={{PG}};UID=jo;PWD={{{WORD}}};SERVER=db", WORD),
    "odbc, words in braces": (f"DRIVER={{PG}};UID=jo;PWD={{my {WORD}}}", WORD),
    "odbc, a brace in braces": (f"UID=jo;PWD={{a}}}}{{{WORD}}};SERVER=db", WORD),
    "two braces": (f"password={{{{{WORD} {SECRET}}}}}", WORD),
    "a dollar": (f"host=db password=${WORD}", WORD),
    "a dollar and a hyphen": (f"PWD=${SECRET}", SECRET),
    "a colon": (f"UID=jo;PWD=:{WORD}", WORD),
    "percent and parentheses": (f"pwd=%({WORD})s", WORD),
    "angle brackets": (f"password: '<{WORD}>'", WORD),
    "json, braces": (json.dumps({"user": "jo", "password": f"{{{WORD}}}"}), WORD),
    "userinfo, braces": (f"postgresql://jo:{{{WORD}}}@db/x", WORD),
    "userinfo, a dollar": (f"postgresql://jo:${WORD}@db/x", WORD),
    "userinfo, angle brackets": (f"postgresql://jo:<{WORD}>@db/x", WORD),
    "no scheme, braces": (f"jo:{{{WORD}}}@db", WORD),
    "odbc, encoded": (f"Server%3Ddb%3BPwd%3D{SECRET}%3B", SECRET),
    "ado, a space": (f"Data Source=db; Password = my {SECRET}; User ID=jo", SECRET),
    "dsn": (f"host=db user=jo password='{SECRET}'", SECRET),
    "json": (json.dumps({"host": "db", "password": SECRET}), SECRET),
    "json, short name": (json.dumps({"user": "jo", "pwd": SECRET}), SECRET),
    "json, escapes": (f'{{"password": "{escapes(SECRET)}"}}', escapes(SECRET)),
    "json in json": (json.dumps(json.dumps({"password": SECRET})), SECRET),
    "url, escapes": (URL.replace(":", "\\u003a").replace("@", "\\u0040"), SECRET),
    "html": (f"postgresql:&#x2f;&#x2f;jo&#58;{SECRET}&#64;db", SECRET),
    "oracle": (f"jdbc:oracle:thin:jo/{SECRET}@db:1521/orcl", SECRET),
    "no scheme": (f"jo:{SECRET}@db", SECRET),
    "account key": (f"AccountName=a;AccountKey={b64(SECRET)};EndpointSuffix=x", b64(SECRET)),
    "bearer": (f"Bearer {SECRET}", SECRET),
    "basic": (f"Authorization: Basic {b64('jo:' + SECRET)}", b64("jo:" + SECRET)),
    "header": (f"X-Api-Key: {SECRET}", SECRET),
    "variable": (f"PGPASSWORD={SECRET} psql", SECRET),
    "variable of mysql": (f"MYSQL_PWD={SECRET} mysql", SECRET),
    "aws": (f"aws_secret_access_key = {SECRET}", SECRET),
    "case and blanks": (f"PassWord \t:  {SECRET}", SECRET),
    "sql": (f"ALTER ROLE jo PASSWORD '{SECRET}'", SECRET),
    "option": (f"mysql --password {SECRET} -h db", SECRET),
    "base64": (b64(URL), b64(URL)),
    "base64 of utf-16": (base64.b64encode(URL.encode("utf-16-le")).decode(), "cABvAHMAdABn"),
    "base64, not ascii": (b64(f"postgresql://jörg:{SECRET}@db"), b64(f"postgresql://jörg:{SECRET}@db")),
    "base64 of a login": (json.dumps({"auths": {"hub": {"auth": b64(f"jo:{SECRET}")}}}), b64(f"jo:{SECRET}")),
    "hexadecimal, 0x": ("0x" + URL.encode().hex(), SECRET.encode().hex()),
    "hexadecimal, spaces": (URL.encode().hex(" "), SECRET.encode().hex(" ")),
    "hexadecimal, colons": (URL.encode().hex(":").upper(), SECRET.encode().hex(":").upper()),
    "octal": ("".join(f"\\{byte:03o}" for byte in URL.encode()), "\\113\\141\\156\\141\\162\\151"),
    "eight digits": (URL.replace(":", "\\U0000003a").replace("@", "\\U00000040"), SECRET),
    "html, no semicolons": ("".join(f"&#{byte}" for byte in URL.encode()), "&#75&#97&#110&#97&#114&#105"),
    "quoted-printable": ("".join(f"={byte:02X}" for byte in URL.encode()), "=4B=61=6E=61=72=69"),
    "quoted-printable, marks": (f"postgresql:=2F=2Fjo=3A{SECRET}=40db", SECRET),
    "xml": (f"<db><password>{SECRET}</password></db>", SECRET),
    "xml, not closed": (f"<password>{SECRET}", SECRET),
    "no scheme, braces, quotes": (f"'jo:{{{WORD}}}@db'", WORD),
    "cdata": (f"<db><password><![CDATA[{SECRET}]]></password></db>", SECRET),
    "url, encoded four times": (quote(quote(quote(quote(URL, safe=""), safe=""), safe=""), safe=""), SECRET),
    "url, a port for a password": (f"postgresql://jo.doe:31337/{SECRET}@db", SECRET),
    "hexadecimal": (URL.encode().hex(), SECRET.encode().hex()),
    "token": (f"clone with ghp_{TOKEN}", TOKEN),
}


def leaks(*said: object) -> list[str]:
    """The spellings that can be found in what was said; however often its backslashes were doubled."""
    text = "\n".join(map(str, said)).replace("\\\\\\\\", "\\").replace("\\\\", "\\")
    if SECRET in text:
        return sorted(SPELLINGS)
    return sorted({name for name, (_, piece) in SPELLINGS.items() if piece in text})


def everything_of(error: BaseException | None) -> Iterator[str]:
    """What an error says, to people, programs and other processes, and what is behind it."""
    while error is not None:
        yield from (str(error), repr(error), repr(vars(error)), pickle.dumps(error).decode("latin-1"))
        yield from traceback.format_exception_only(error)
        yield repr(error.facts) if isinstance(error, MetadataError) else ""
        if error.__cause__ is not None and error.__context__ is not error.__cause__:
            yield from everything_of(error.__context__)
        error = error.__cause__ or error.__context__


def said_by(*doings: Callable[[], object]) -> list[str]:
    """What these answer, or how they refuse."""
    said: list[str] = []
    for do in doings:
        try:
            said.append(repr(do()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it says something
            said += everything_of(error)
    return said
