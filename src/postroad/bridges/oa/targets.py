"""Where `password.asp` may lead afterwards: a path on this server, or a listed host. Pure.

Browsers read more as another host than RFC 3986 does (URL Standard 4.4: backslashes count as slashes, tabs
and line ends are dropped), so what is let through is what cannot be misread, not what looks harmless.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote

MAX_TARGET = 2000  # what every browser takes
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ABSOLUTE = re.compile(
    r"https?://([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|\Z)",
    re.IGNORECASE,
)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_KEPT = "/:?#[]@!$&'()*+,;=%"  # RFC 3986 2.2, and the sign of what is encoded already


class BadTarget(ValueError):
    """A target that is not allowed; the message says why."""


def redirect_target(text: str, base: str, hosts: Collection[str]) -> str:
    """Return the value of a Location header for `text`, ASCII, with `base` before a relative path.

    `base` is the directory of the page that asks, such as `/mail/`. `hosts` are in lower case, with a port
    when only that port is meant. Raises `BadTarget`.
    """
    if len(text) > MAX_TARGET:
        raise BadTarget(f"the target is longer than {MAX_TARGET} characters")
    if not text.isprintable() or text != text.strip() or "\\" in text or _ENCODED_CONTROL.search(text):
        raise BadTarget("the target holds characters that do not belong into an address")
    if _SCHEME.match(text):
        return _listed(text, hosts)
    path = text if text.startswith("/") else base + text
    if "//" in re.split(r"[?#]", path, maxsplit=1)[0]:
        raise BadTarget("the target is not a path on this server")
    return quote(path, safe=_KEPT)


def _listed(text: str, hosts: Collection[str]) -> str:
    found = _ABSOLUTE.match(text)
    if found is None:
        raise BadTarget("the target is neither a path on this server nor an http address")
    host, port = found[1].lower(), found[2]
    if host not in hosts and (port is None or f"{host}:{port}" not in hosts):
        raise BadTarget("the target's host is not in oa.redirect_hosts")
    return quote(text, safe=_KEPT)
