"""What is checked in a template, and the colour that comes of it (5.3 of our page). Pure.

Red is refused: readers' programs throw such mail away, or receivers take it for malware. Yellow passes with
advice. red_pass is red that an administrator let through, and is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from selectolax.lexbor import LexborHTMLParser

from postroad.campaigns.errors import BadTemplate
from postroad.campaigns.templates.language import VARIABLES, compile_template
from postroad.message.html_text import html_to_text

Colour = Literal["red", "green", "yellow", "red_pass"]

CLIPPED_BYTES = 102 * 1024  # Gmail shows so much of a mail and hides the rest behind a link
MAX_MAIL_BYTES = 10 * 1024 * 1024  # what most receivers take, before base64
LITTLE_TEXT = 20  # characters beside pictures
LONG_SUBJECT = 100  # characters; phones show 40
_ACTIVE = ("script", "object", "embed", "applet", "iframe", "frame", "frameset", "base", "meta[http-equiv]")
_FORMS = ("form", "input", "button", "select", "textarea")
_HANDLER = re.compile(r"on[a-z]+\Z")
_EXECUTABLE = re.compile(
    r"\.(?:exe|scr|com|pif|bat|cmd|vbs|vbe|jse?|wsf|wsh|hta|msi|msp|jar|ps1|lnk|cpl|reg|iso|img|dll|apk|chm)\Z",
    re.IGNORECASE,
)
_BARE_IP = re.compile(
    r"https?://(?:\d{1,3}(?:\.\d{1,3}){3}|0x[0-9a-f]+|\d{8,10}|\[)(?:[:/?#]|\Z)", re.IGNORECASE
)
_SHORTENER = re.compile(
    r"https?://(?:bit\.ly|t\.cn|url\.cn|dwz\.cn|suo\.im|goo\.gl|tinyurl\.com|is\.gd|t\.co|ow\.ly)/",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `code` is a stable word, `message` English, `line` 0 when none is meant."""

    level: Literal["red", "yellow"]
    code: str
    message: str
    line: int = 0

    def as_dict(self) -> dict[str, object]:
        """For the row and for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Material:
    """What is checked."""

    subjects: Sequence[str]
    html: str
    plain: str
    attachments: Sequence[tuple[str, int]]  # names and sizes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The colour and why; `size_bytes` estimates a whole mail, headers and encodings included."""

    colour: Colour
    findings: tuple[Finding, ...]
    size_bytes: int


def check_template(material: Material) -> Verdict:
    """Look at everything and say what was found."""
    findings: list[Finding] = []
    for subject in material.subjects:
        findings += _subject(subject)
    findings += _html(material)
    findings += _language(material)
    for name, _ in material.attachments:
        if _EXECUTABLE.search(name):
            findings.append(Finding("red", "executable", f"the attachment {name} is a program"))
    size = _size(material)
    if size > MAX_MAIL_BYTES * 4 // 3:
        findings.append(Finding("red", "too-large", "most receivers refuse a mail of this size"))
    levels = {finding.level for finding in findings}
    colour: Colour = "red" if "red" in levels else "yellow" if levels else "green"
    return Verdict(colour, tuple(findings[:50]), size)


def _subject(subject: str) -> list[Finding]:
    found = []
    letters = [character for character in subject if character.isascii() and character.isalpha()]
    if len(letters) > 10 and all(letter.isupper() for letter in letters):
        found.append(Finding("yellow", "shouting", "a subject in capitals looks like spam"))
    if re.search(r"[!！]{2,}|[?？]{3,}|[$￥]{2,}", subject):
        found.append(Finding("yellow", "exclaiming", "rows of ! ? $ look like spam"))
    if len(subject) > LONG_SUBJECT:
        found.append(Finding("yellow", "long-subject", f"a subject of more than {LONG_SUBJECT} characters"))
    return found


def _html(material: Material) -> list[Finding]:
    if not material.html.strip():
        return [Finding("red", "empty", "the content is empty")]
    found: list[Finding] = []
    tree = LexborHTMLParser(material.html)
    if tree.css_first(", ".join(_ACTIVE)) is not None:
        found.append(Finding("red", "active", "scripts, frames and plug-ins do not work in mail"))
    if tree.css_first(", ".join(_FORMS)) is not None:
        found.append(Finding("yellow", "form", "forms do not work in most mail programs"))
    for node in tree.css("*"):
        for name, value in node.attributes.items():
            url = (value or "").strip()
            if _HANDLER.match(name):
                found.append(Finding("red", "active", f"the attribute {name} is a script"))
            elif name in ("href", "src", "action", "background"):
                found += _url(url)
    text = html_to_text(material.html).strip()
    pictures = tree.css("img")
    if pictures and len(text) < LITTLE_TEXT:
        found.append(Finding("yellow", "only-pictures", "a mail of pictures alone looks like spam"))
    if any(picture.attributes.get("alt") is None for picture in pictures):
        found.append(Finding("yellow", "no-alt", "pictures have no text for readers who do not load them"))
    if not text and not pictures:
        found.append(Finding("red", "empty", "the content shows nothing"))
    if len(material.html.encode()) > CLIPPED_BYTES:
        found.append(Finding("yellow", "clipped", "Gmail hides what comes after 102 KB"))
    return _once(found)


def _url(url: str) -> list[Finding]:
    scheme = re.sub(r"[\x00-\x20]", "", url).lower()
    if scheme.startswith(("javascript:", "vbscript:", "data:text/html")):
        return [Finding("red", "active", "a link that is a script")]
    if _BARE_IP.match(url):
        return [Finding("red", "bare-ip", "a link to an IP address looks like phishing")]
    if _SHORTENER.match(url):
        return [Finding("yellow", "shortener", "links through a shortener are often blocked")]
    if scheme.startswith("file:"):
        return [Finding("yellow", "local-file", "a link to a file on your own machine")]
    return []


def _language(material: Material) -> list[Finding]:
    found: list[Finding] = []
    unknown: set[str] = set()
    texts = [
        *((subject, "subject") for subject in material.subjects),
        (material.html, "html"),
        (material.plain, "text"),
    ]
    for source, kind in texts:
        try:
            unknown |= compile_template(source, kind).variables() - VARIABLES  # type: ignore[arg-type]
        except BadTemplate as error:
            found.append(Finding("red", "template", str(error.facts["reason"]), int(error.facts["line"])))
    found.extend(
        Finding("yellow", "unknown-variable", f"{name} is no field of a contact: it is empty")
        for name in sorted(unknown)[:10]
    )
    return found


def _once(findings: list[Finding]) -> list[Finding]:
    return list({(finding.code, finding.message): finding for finding in findings}.values())


def _size(material: Material) -> int:
    """Headers of about 2 KB, texts in base64, attachments in base64."""
    parts = [
        len(material.html.encode()),
        len(material.plain.encode()),
        *(size for _, size in material.attachments),
    ]
    return (
        2048
        + max((len(subject.encode()) for subject in material.subjects), default=0)
        + sum(size * 4 // 3 + size // 57 * 2 + 200 for size in parts if size)
    )
