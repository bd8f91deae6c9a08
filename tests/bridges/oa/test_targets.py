"""No target leaves the server for a host that is not listed, whatever it is made of."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from postroad.bridges.oa.targets import BadTarget, redirect_target

HOSTS = frozenset({"oa.example.com", "intra.example.com:8443"})
HERE = "https://mail.example/mail/password.asp"
_PIECES = st.sampled_from(
    [
        *(
            "/",
            "//",
            "\\",
            ":",
            "@",
            "#",
            "?",
            ".",
            "..",
            "%",
            "%2f",
            "%5c",
            "%0d%0a",
            "%09",
            "\t",
            "\n",
            "\r",
            "\0",
        ),
        *(
            "http",
            "https",
            "HTTP",
            "http:",
            "https://",
            "javascript:",
            "data:",
            "//evil.example",
            "evil.example",
        ),
        *(
            "oa.example.com",
            "intra.example.com",
            ":8443",
            ":80",
            "login.asp",
            "user@",
            "[::1]",
            " ",
            "\u3002",
        ),
        *(
            "\uff0f",
            "\u2044",
            "\u200b",
            "\u00ad",
            "\u2028",
            "%E2%80%A8",
            ";",
            ",",
            "&",
            "=",
            "~",
            "|",
            "<",
            '"',
        ),
    ]
)
TARGETS = st.one_of(st.text(), st.lists(_PIECES, max_size=9).map("".join))


def where_a_browser_goes(location: str) -> tuple[str, int | None]:
    """Host and port by the URL Standard's reading: edges trimmed, tabs and line ends dropped, \\ is /.

    Special schemes take any number of slashes (even none where the scheme differs) before the host.
    """
    text = re.sub(r"[\t\n\r]", "", location.strip("".join(map(chr, range(33)))))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme:
        assert scheme[1].lower() in ("http", "https"), location
        text = f"{scheme[1].lower()}://" + text[scheme.end() :].replace("\\", "/").lstrip("/")
    else:
        head, mark, tail = text.partition("?")
        text = head.replace("\\", "/") + mark + tail
        if text.startswith("//"):
            text = "//" + text.lstrip("/")
    parts = urlsplit(urljoin(HERE, text))
    return parts.hostname or "", parts.port


@given(TARGETS, st.sampled_from(["/mail/", "/"]))
@example("/..//evil.example", "/")
@example("/.//evil.example", "/")
@example("http:evil.example", "/mail/")
def test_no_target_leads_to_a_host_that_is_not_listed(text: str, base: str) -> None:
    try:
        location = redirect_target(text, base, HOSTS)
    except BadTarget:
        return
    assert re.fullmatch(r"[\x21-\x7e]+", location), (
        "printable ASCII without spaces: no header can be made of it"
    )
    assert not re.search(r"%(0|1)[0-9a-fA-F]|%7[fF]", location)
    host, port = where_a_browser_goes(location)
    assert host == "mail.example" or host in HOSTS or f"{host}:{port}" in HOSTS
    if host == "mail.example":
        assert location.startswith("/") and not location.startswith(("//", "/\\"))


@given(st.lists(st.from_regex(r"[a-z0-9._~-]{1,12}", fullmatch=True), min_size=1, max_size=4))
def test_plain_paths_are_kept(levels: list[str]) -> None:
    path = "/" + "/".join(levels)
    assert redirect_target(path, "/mail/", HOSTS) == path
    assert redirect_target(path[1:], "/mail/", HOSTS) == f"/mail{path}"
    assert redirect_target(f"http://oa.example.com{path}", "/", HOSTS) == f"http://oa.example.com{path}"
