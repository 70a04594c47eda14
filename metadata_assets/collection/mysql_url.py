"""What the parameters of a MySQL URL mean to its driver. One that is not known is refused: it may ask for more."""

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

from identity.errors import InvalidUrl

_Made = TypeVar("_Made")

_YES_OR_NO: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,39}")
_SPELLED: Final = {"sslmode": "ssl_mode", "ssl_check_hostname": "ssl_verify_identity"}
_FILES: Final = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key")
_SWITCHES: Final = ("ssl", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity")
_SECONDS: Final = ("connect_timeout", "read_timeout", "write_timeout")
_TEXTS: Final = ("unix_socket", "bind_address", "program_name")
_NUMBERS: Final = (*_SECONDS, "max_allowed_packet")
_MEANINGLESS: Final = ("charset", "collation", "use_unicode")
_KNOWN: Final = {
    *_FILES,
    *_SWITCHES,
    *_NUMBERS,
    *_TEXTS,
    *_MEANINGLESS,
    *("ssl_mode", "ssl_key_password", "ssl_cipher"),
}
_LONGEST_SECONDS: Final = 31_536_000
"""A year; PyMySQL takes no longer one."""
_LARGEST: Final = 2**30
"""Of a packet, in bytes, in every server."""
_MODES: Final[Mapping[str, tuple[bool, bool]]] = {
    "required": (False, False),
    "verify_ca": (True, False),
    "verify_identity": (True, True),
}
"""Whether the certificate is verified, and whether it has to be the host's."""


def driver_options(url: str) -> dict[str, Any]:
    """What PyMySQL is told of the parameters: as they are called there, and `ssl` or `ssl_disabled`.

    Where nothing is said of TLS it is used if the server has it, and nothing is verified. Where anything asks for it,
    the server has to have it, and its certificate and host name are verified unless a parameter says otherwise.
    `charset`, `collation` and `use_unicode` change nothing: catalogs are read as utf8mb4. Raises InvalidUrl, which
    names the parameter.
    """
    given = _given(url)
    options: dict[str, Any] = {name: given[name] for name in _TEXTS if name in given}
    options |= {name: _number(name, given[name]) for name in _NUMBERS if name in given}
    about_tls = {name: value for name, value in given.items() if name.startswith("ssl")}
    mode = about_tls.get("ssl_mode", "").lower().replace("-", "_")
    if mode and mode not in {"disabled", "preferred", *_MODES}:
        _refuse("its parameter ssl_mode is none that MySQL has", "use disabled, required, verify_ca, verify_identity")
    says: dict[str, bool] = {name: _switched(name, about_tls[name]) for name in _SWITCHES if name in about_tls}
    off = [says.get("ssl") is False, says.get("ssl_disabled") is True, mode == "disabled"]
    others = about_tls.keys() - {"ssl", "ssl_disabled", "ssl_mode"}
    asked = [says.get("ssl") is True, mode in _MODES, bool(others)]
    if (any(off) and any(asked)) or (mode == "preferred" and (any(off) or any(asked))):
        _refuse("its parameters of TLS contradict each other", "say one thing of TLS")
    if any(off):
        return options | {"ssl_disabled": True}
    return options | {"ssl": _context(about_tls, says, mode)} if any(asked) else options


def _given(url: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for said, value in parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True):
        name = said.lower().replace("-", "_")
        name = _SPELLED.get(name, name)
        if name not in _KNOWN:
            known = _NAME.fullmatch(said) and value  # what has no value may be half of a password
            _refuse(
                f"its parameter {said} is not known" if known else "it has a parameter that is not known",
                "leave it out",
            )
        if not value:
            _refuse(f"its parameter {name} is empty", "give it a value, or leave it out")
        if name in found:
            _refuse(f"its parameter {name} is there twice", "give it once")
        found[name] = value
    return found


def _number(name: str, value: str) -> int:
    most = _LONGEST_SECONDS if name in _SECONDS else _LARGEST
    if not (value.isascii() and value.isdigit() and len(value) < 12 and 1 <= int(value) <= most):
        what = "seconds" if name in _SECONDS else "bytes"
        _refuse(f"its parameter {name} is no whole number of {what}", f"write one from 1 to {most}")
    return int(value)


def _switched(name: str, value: str) -> bool:
    if value.lower() not in _YES_OR_NO:
        _refuse(f"its parameter {name} is neither true nor false", "write true or false")
    return _YES_OR_NO[value.lower()]


def _context(given: Mapping[str, str], says: Mapping[str, bool], mode: str) -> ssl.SSLContext:
    verified, named = _MODES.get(mode, (True, True))
    verified = says.get("ssl_verify_cert", verified or says.get("ssl_verify_identity", False))
    named = says.get("ssl_verify_identity", named and verified)
    if named and not verified:
        _refuse("its parameters of TLS contradict each other", "a host is known by a certificate that is verified")
    at = tuple(given.get(name) for name in ("ssl_ca", "ssl_capath"))
    context = _loaded("ssl_ca", lambda: ssl.create_default_context(cafile=at[0], capath=at[1]))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the certificates that MySQL makes for itself do not pass it
    context.check_hostname = named
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    if ("ssl_cert" in given) < ("ssl_key" in given):
        _refuse("it has a parameter ssl_key without ssl_cert", "give both")
    if "ssl_cert" in given:
        # without a password OpenSSL would ask for it at the terminal
        mine = given["ssl_cert"], given.get("ssl_key"), given.get("ssl_key_password", "")
        _loaded("ssl_cert", lambda: context.load_cert_chain(*mine))
    if "ssl_cipher" in given:
        _loaded("ssl_cipher", lambda: context.set_ciphers(given["ssl_cipher"]))
    return context


def _loaded(name: str, load: Callable[[], _Made]) -> _Made:
    try:
        return load()
    except (OSError, ValueError):  # also what OpenSSL says
        _refuse(f"what its parameter {name} names cannot be used", "give the path of a PEM file that can be read")


def _refuse(reason: str, fix: str) -> NoReturn:
    raise InvalidUrl(reason=reason, fix=fix) from None
