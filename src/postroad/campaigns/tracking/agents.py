"""Who loads a picture or follows a link: a person's browser, a mail provider's proxy, or a machine that looks
first.

Pure. Browsers, systems and devices by ua-parser (its tables are kept by many products and come out every
month); 30 µs a text, so what was parsed is kept. What programs say of themselves is reduced to names and main
versions: nobody needs more, and a reader who changes his at every request does not fill the table.
"""

from __future__ import annotations

import enum
import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

MAX_TEXT = 500  # characters of a User-Agent that are looked at; browsers send about 120
MAX_KEPT = 5000  # of them, about 2 MB
_MOBILE = ("Android", "iOS", "Windows Phone", "HarmonyOS", "OpenHarmony", "BlackBerry OS", "KaiOS", "Symbian")

# Loads every picture when a mail arrives, read or not. Apple's Mail Privacy Protection says exactly this
# much.
_APPLE_PROXY = "Mozilla/5.0"
# Load for a reader, but sometimes before he comes: early ones are taken for machines (`hits.py`).
_PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|YahooCacheSystem|Edge/12\.246 Mozilla/5\.0\Z")
# Programs that follow links to look at them: scanners of mail, previews of messengers, libraries.
_MACHINES = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|scan|preview|monitor|check|fetch|validator|"
    r"facebookexternalhit|whatsapp|skypeuri|slack|telegram|discord|embedly|"
    r"barracuda|mimecast|proofpoint|ironport|fireeye|trendmicro|symantec|messagelabs|sophos|forcepoint|"
    r"zscaler|safelinks|bitdefender|kaspersky|"
    r"python|curl/|wget|go-http-client|java/|okhttp|libwww|perl|ruby|php/|axios|node-fetch|httpclient|"
    r"headless|phantomjs|selenium|puppeteer",
    re.IGNORECASE,
)


class Kind(enum.IntEnum):
    """Whose hit it is, as `hit.kind` has it. Reports count a person's; the others are kept beside them."""

    PERSON = 0
    PROXY = 1  # pictures loaded before anybody reads
    SCANNER = 2  # links looked at by a program, pages fetched ahead


@dataclass(frozen=True, slots=True)
class Agent:
    """What a program says of itself. `text` is what is kept of it; `device` is pc or mobile, or empty."""

    text: str
    browser: str
    os: str
    device: str
    kind: Kind
    is_proxy: bool  # a provider's, which may come before the reader


class Agents:
    """Reads User-Agent texts."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Agent] = OrderedDict()

    @cached_property
    def _parser(self) -> Parser:
        # A third of a second: only who is asked pays it.
        return Parser(Resolver(load_lazy_builtins()))

    def read(self, text: str) -> Agent:
        """What this text says."""
        text = text[:MAX_TEXT]
        agent = self._kept.get(text)
        if agent is None:
            agent = self._kept[text] = self._parsed(text)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(text)
        return agent

    def _parsed(self, text: str) -> Agent:
        if text == _APPLE_PROXY:
            return Agent("Apple Mail Privacy Protection", "Apple Mail", "Other", "", Kind.PROXY, True)
        if not text.strip() or _MACHINES.search(text):
            kind, is_proxy = Kind.SCANNER, False
        else:
            kind, is_proxy = Kind.PERSON, _PROXIES.search(text) is not None
        found = self._parser.parse(text).with_defaults()
        browser, os, model = found.user_agent.family, found.os.family, found.device.family
        if is_proxy:
            os, device = "Other", ""  # the proxy's, which tells nothing of the reader's
        else:
            is_mobile = os in _MOBILE or "Mobile" in browser or model in ("iPhone", "iPad")
            device = "mobile" if is_mobile else "pc"
        kept = "/".join(
            filter(None, (browser, found.user_agent.major, os, found.os.major, device, kind.name))
        )
        return Agent(_printable(kept), _printable(browser), _printable(os), device, kind, is_proxy)


def looks_ahead(method: str, purpose: str) -> bool:
    """Whether a request only looks. `purpose` is what Sec-Purpose, Purpose, X-Purpose or X-Moz say of it."""
    return method == "HEAD" or "prefetch" in purpose or "preview" in purpose or "prerender" in purpose


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:100]
