"""A recipient's mail, made at the last moment from parts that are made once a run. Pure: no database, no
clock.

RFC 5322 rules the header, RFC 2046 the body, RFC 8058 and RFC 2369 the way out, RFC 2919 the list's name,
RFC 6376 the signature. What Gmail, Yahoo and QQ ask of bulk senders is there by default: DKIM of the
author's domain, one-click unsubscribing that the signature covers, an envelope sender that bounces come
back to. Safe in threads.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b

import minijinja

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.errors import BadTemplate
from postroad.campaigns.results.verp import Verp
from postroad.campaigns.sending.inlining import inlined
from postroad.campaigns.sending.verdicts import malformed, unmade
from postroad.campaigns.templates.language import LINKS, CannotRender, Compiled, compile_template
from postroad.campaigns.templates.values import values_of
from postroad.campaigns.tracking.marking import Marked, mark
from postroad.campaigns.tracking.urls import Urls
from postroad.message.address import Address, BadAddress
from postroad.message.compose import Attachment, attachment_part
from postroad.message.fields import address_field, folded, text_field
from postroad.message.headers import Mailbox
from postroad.message.html_text import html_to_text
from postroad.message.sign import SigningKey, sign
from postroad.transport.delivery.source import Failure, Loaded

_HAN = re.compile("[\u3400-\u9fff]")
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_FOOTER = (
    '<p style="font-size:12px;color:#888888"><a href="{{{{ unsubscribe_url }}}}" style="color:#888888">'
    "{words}</a></p>"
)
UNSUBSCRIBE = "unsubscribe_url"
_LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a mail is from, what signs it, and where its bounces come back to."""

    address: Address
    keys: tuple[SigningKey, ...]
    bounce_domain: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a template, compiled. `attachments` are whole parts, encoded once."""

    subjects: tuple[Compiled, ...]
    marked: Marked
    link_ids: tuple[int, ...]
    html: Compiled
    text: Compiled | None  # None: made from each mail's HTML
    fixed_text: bytes | None  # the encoded part where no value stands in it
    encoding: str
    attachments: tuple[bytes, ...]
    ways_out: frozenset[str]  # those of `LINKS` that it names: each costs a token

    @property
    def size_bytes(self) -> int:
        """How much memory a mail takes, about; attachments are shared until a mail is on the wire."""
        own = (len(self.marked.html) + len(self.fixed_text or b"")) * 2
        return 4000 + own + sum(map(len, self.attachments)) // 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that mails of one run share."""

    run_id: int
    email_base: int
    versions: tuple[Version, ...]
    senders: tuple[Sender, ...]
    sender_name: str
    reply_to: str
    list_label: str  # the first label of List-ID, the same for all mails to one list
    feedback_id: str
    urls: Urls
    verp: Verp
    id_key: bytes
    _fixed: dict[Sender, tuple[bytes, bytes]] = field(init=False, repr=False, default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """How much memory one of its mails takes, about."""
        return max(version.size_bytes for version in self.versions)

    def dealt(self, number: int) -> tuple[Version, Compiled, Sender]:
        """Template, subject and sender of a recipient: each in turn, whatever the others are."""
        place = number - 1
        version = self.versions[place % len(self.versions)]
        place //= len(self.versions)
        subject = version.subjects[place % len(version.subjects)]
        return version, subject, self.senders[place // len(version.subjects) % len(self.senders)]

    def fixed_fields(self, sender: Sender) -> tuple[bytes, bytes]:
        """The fields that are the same in all mails of a sender: who it is from, and what it is."""
        if sender not in self._fixed:
            reply_to = address_field("Reply-To", [Mailbox("", self.reply_to)]) if self.reply_to else b""
            self._fixed[sender] = (
                address_field("From", [Mailbox(self.sender_name, str(sender.address))]) + reply_to,
                b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"  # RFC 8058 3.1
                + folded("List-ID", [f"<{self.list_label}.{sender.address.domain}>"])  # RFC 2919 3
                + folded("Feedback-ID", [self.feedback_id])
                + b"Precedence: bulk\r\nMIME-Version: 1.0\r\n",
            )
        return self._fixed[sender]


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A version as it is stored."""

    subjects: Sequence[str]
    html: str
    plain: str
    encoding: str
    attachments: Sequence[Attachment]


def prepare(
    stored: TemplateText, *, opens: bool, clicks: bool, has_unsubscribe: bool
) -> tuple[Marked, TemplateText]:
    """Inline, add the way out, and mark: the marked HTML, and the text it is sent beside. Raises
    `BadTemplate`.
    """
    html, plain = inlined(stored.html), stored.plain
    if not plain.strip():
        plain = _text_of(html)
    if has_unsubscribe and "unsubscribe_url" not in html:
        words = "退订" if _HAN.search(html) else "Unsubscribe"
        footer = _FOOTER.format(words=words)
        ends = list(_BODY_END.finditer(html))
        at = ends[-1].start() if ends else len(html)
        html = html[:at] + footer + html[at:]
        if plain and "unsubscribe_url" not in plain:
            plain = f"{plain.rstrip()}\n\n{words}: {{{{ unsubscribe_url }}}}\n"
    marked = mark(html, opens=opens, clicks=clicks)
    return marked, TemplateText(stored.subjects, html, plain, stored.encoding, stored.attachments)


def version_of(marked: Marked, stored: TemplateText, link_ids: Sequence[int]) -> Version:
    """Compile what was prepared; `link_ids` in the order of the marked links. Raises `BadTemplate`."""
    text = compile_template(stored.plain, "text") if stored.plain else None
    html = compile_template(marked.html, "html")
    fixed = None
    if text is not None and not text.variables():
        fixed = _text_part("plain", text.render({}), stored.encoding)
    return Version(
        tuple(compile_template(subject, "subject") for subject in stored.subjects),
        marked,
        tuple(link_ids),
        html,
        text,
        fixed,
        stored.encoding,
        tuple(attachment_part(each) for each in stored.attachments),
        (html.variables() | (text.variables() if text is not None else frozenset())) & frozenset(LINKS),
    )


def render(
    recipe: Recipe, number: int, person: Person, recipient: Address, now: datetime
) -> Loaded | Failure:
    """Make the mail of one recipient, signed. What cannot be made is this recipient's failure alone."""
    version, subject, sender = recipe.dealt(number)
    email_id = recipe.email_base + number
    try:
        Address.parse(str(recipient))
    except BadAddress as error:
        return malformed(str(error))
    try:
        values = values_of(person)
        ways_out = _ways_out(recipe, version, email_id)
        bounces = recipe.verp.address(email_id, sender.bounce_domain)
        body_type, body = _body(recipe, version, values, ways_out, email_id)
        to = address_field("To", [Mailbox(person.fullname, str(recipient))])
        header = to + _header(recipe, subject.render(values), sender, bounces, ways_out, email_id, now)
    except (CannotRender, BadAddress) as error:
        return unmade(f"the mail cannot be made: {error}"[:300])
    content = b"".join((header, body_type, b"\r\n\r\n", *body))
    signature = sign(content, sender.keys, now=now) if sender.keys else b""
    return Loaded(
        bounces,
        (signature, header, body_type, b"\r\n\r\n", *body),
        is_smtputf8=not recipient.is_ascii,
    )


def _html_values(
    recipe: Recipe,
    version: Version,
    values: Mapping[str, str],
    ways_out: Mapping[str, str],
    email_id: int,
) -> dict[str, str]:
    links = {name: minijinja.safe(url) for name, url in ways_out.items()}
    marks = version.marked.values(recipe.urls, recipe.run_id, email_id, version.link_ids, values)
    return {**values, **links, **marks}


def _ways_out(recipe: Recipe, version: Version, email_id: int) -> dict[str, str]:
    """The ways out that the template names; the first stands in the header of every mail."""
    urls, run_id = recipe.urls, recipe.run_id
    ways = {UNSUBSCRIBE: urls.unsubscribe(run_id, email_id)}
    if "preferences_url" in version.ways_out:
        ways["preferences_url"] = urls.preferences(run_id, email_id)
    if "web_url" in version.ways_out:
        ways["web_url"] = urls.web(run_id, email_id)
    return ways


def _header(
    recipe: Recipe,
    subject: str,
    sender: Sender,
    bounces: Address,
    ways_out: Mapping[str, str],
    email_id: int,
    now: datetime,
) -> bytes:
    unique = blake2b(email_id.to_bytes(8, "big"), key=recipe.id_key, digest_size=15).digest()
    message_id = base64.b32encode(unique).decode().lower()
    author, kind = recipe.fixed_fields(sender)
    return b"".join(
        (
            author,
            text_field("Subject", subject),
            _date_field(now),
            f"Message-ID: <{message_id}@{sender.address.domain}>\r\n".encode(),
            folded(
                "List-Unsubscribe",
                [f"<mailto:{bounces}?subject=unsubscribe>,", f"<{ways_out[UNSUBSCRIBE]}>"],
            ),
            kind,
        )
    )


@lru_cache(maxsize=8)
def _date_field(now: datetime) -> bytes:
    return folded("Date", [format_datetime(now)])


def _body(
    recipe: Recipe,
    version: Version,
    values: Mapping[str, str],
    ways_out: Mapping[str, str],
    email_id: int,
) -> tuple[bytes, tuple[bytes, ...]]:
    """The Content-Type field without its line end, and the body behind the header."""
    html = version.html.render(_html_values(recipe, version, values, ways_out, email_id))
    text = version.fixed_text
    if text is None:
        plain = (
            html_to_text(html, with_links=True)
            if version.text is None
            else version.text.render({**values, **ways_out})
        )
        text = _text_part("plain", plain, version.encoding)
    # "=_" can stand neither in base64 nor in quoted-printable (RFC 2045 6.7); an attachment's own text
    # could hold any boundary but one that nobody knows before the mail is made.
    mark = base64.b32encode(
        blake2b(email_id.to_bytes(8, "big"), key=recipe.id_key, digest_size=10, person=b"boundary").digest()
    )
    inner = b"=_a" + mark
    alternative = (
        *(b"--", inner, b"\r\n", text, b"\r\n--", inner, b"\r\n"),
        *(_text_part("html", html, version.encoding), b"\r\n--", inner, b"--\r\n"),
    )
    head = b'Content-Type: multipart/alternative;\r\n boundary="' + inner + b'"'
    if not version.attachments:
        return head, alternative
    outer = b"=_m" + mark
    pieces = [b"--", outer, b"\r\n", head, b"\r\n\r\n", *alternative]
    for attachment in version.attachments:
        pieces += [b"\r\n--", outer, b"\r\n", attachment]
    pieces += [b"\r\n--", outer, b"--\r\n"]
    return b'Content-Type: multipart/mixed;\r\n boundary="' + outer + b'"', tuple(pieces)


def _text_part(subtype: str, text: str, encoding: str) -> bytes:
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    data = text.rstrip("\n").replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n"
    if encoding == "quoted-printable":
        body = binascii.b2a_qp(data, istext=True)
    else:
        body = base64.encodebytes(data).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def _text_of(html: str) -> str:
    """The template's text as a template; empty where it would not compile, as code between cells may not."""
    text = html_to_text(html, with_links=True)
    try:
        compile_template(text, "text")
    except BadTemplate:
        return ""
    return text
