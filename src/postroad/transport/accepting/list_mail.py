"""What a mail becomes when a distribution list sends it on: a mail of the list, with the author's content.

Pure. RFC 2369 (List-Post …), RFC 2919 (List-Id), RFC 5321 3.9.2 (bounces go to the list, not to the author).
"""

from __future__ import annotations

import re
from dataclasses import replace

from postroad.directory.addresses.resolver import ListTarget
from postroad.message.address import Address
from postroad.message.fields import encoded_words, folded, one_line
from postroad.message.headers import header_section
from postroad.transport.accepting.planning import RoutedMail
from postroad.transport.accepting.routing import Post
from postroad.transport.accepting.trace import delivered_to

# RFC 2369 4: a list that gets the mail of another one replaces its fields.
_LIST_FIELD = re.compile(rb"(?:(?<=\n)|\A)list-[a-z-]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)


def list_copy(mail: RoutedMail, post: Post) -> RoutedMail:
    """Return the mail that goes to the list's members."""
    target = post.target
    header = header_section(mail.body)
    body = list_fields(target) + _LIST_FIELD.sub(b"", header) + mail.body[len(header) :]
    return replace(
        mail,
        body=body,
        sender=tagged(target.address, "bounces"),
        locals=post.locals,
        remotes=post.remotes,
        sign_as=target.address.domain,
        account_id=None,
        return_content=None,
        envelope_id=None,
        summary=None,
        filed=(),
        replaced=(),
    )


def list_fields(target: ListTarget) -> bytes:
    """Return the fields that say which list a mail has come by; the first marks it against circles."""
    address = target.address
    list_id = f"<{_id_label(address.local_part)}.{address.domain}>"
    name = one_line(target.name)
    words = (
        [list_id]
        if not name
        else [*(encoded_words(name) if not name.isascii() else [f'"{_escaped(name)}"']), list_id]
    )
    return b"".join(
        (
            delivered_to(address.key),
            folded("List-Id", words),
            folded("List-Post", [f"<mailto:{address}>"]),
            folded("List-Owner", [f"<mailto:{tagged(address, 'owner')}>"]),
            b"Precedence: list\r\n",  # no standard, but what vacation programs look for (RFC 3834 2)
        )
    )


def tagged(address: Address, tag: str) -> Address:
    """Return a subaddress of the list, which its owners read (`routing.OWNER_TAGS`)."""
    return Address(f"{address.local_part}+{tag}", address.domain)


def _id_label(local_part: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", local_part).strip("-") or "list"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
