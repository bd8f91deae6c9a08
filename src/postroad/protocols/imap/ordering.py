"""SORT and THREAD: what mails are ordered and gathered by. RFC 5256; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from postroad.message.envelope import Envelope
from postroad.message.headers import ListItem, decode_text, parse_date

_BLANKS = re.compile(r"\s+")
# RFC 5256 2.1: trailers, leaders and blobs of a subject that an answer or a forward adds.
_TRAILER = re.compile(r"(?:\s|\(fwd\))+\Z", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*\]\s*")
_REFWD = re.compile(r"(?:re|fwd?)\s*(?:\[[^\[\]]*\]\s*)?:\s*", re.IGNORECASE)
_FORWARD = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)
MAX_SUBJECT = 1000
MAX_DEPTH = 200  # of an answer to an answer; deeper ones begin threads of their own


@dataclass(frozen=True, slots=True)
class Sortable:
    """What SORT and THREAD look at. `sent_at` falls back to the internal date (RFC 5256 2.2)."""

    uid: int
    received_at: datetime
    size_bytes: int
    sent_at: datetime
    from_: str
    to: str
    cc: str
    subject: str
    is_reply: bool
    message_id: str | None
    references: tuple[str, ...]


def sortable(
    uid: int,
    received_at: datetime,
    size_bytes: int,
    told: Envelope,
    subject: str,
    references: Sequence[str] = (),
) -> Sortable:
    """Gather what orders a mail. `subject` is decoded, `references` are message-ids without brackets."""
    sent = parse_date(told.date.encode("utf-8", "replace")) if told.date else None
    base, is_reply = base_subject(subject)
    own = _bare(told.message_id)
    parents = tuple(references) or tuple(_ids(told.in_reply_to)[:1])
    return Sortable(
        uid,
        received_at,
        size_bytes,
        _in_utc(sent) or received_at,
        _first_mailbox(told.from_),
        _first_mailbox(told.to),
        _first_mailbox(told.cc),
        base,
        is_reply,
        own,
        parents,
    )


def _in_utc(when: datetime | None) -> datetime | None:
    try:
        return when.astimezone(UTC) if when is not None else None
    except (ValueError, OverflowError):
        return None


def _first_mailbox(items: Sequence[ListItem]) -> str:
    """RFC 5256 3: the local part of the first address; of a group, its name."""
    return decode_text((items[0].mailbox or "").encode("utf-8", "replace")).casefold() if items else ""


def _ids(text: str | None) -> list[str]:
    return re.findall(r"<([^<>\s]{1,998})>", text) if text else []


def _bare(text: str | None) -> str | None:
    found = _ids(text)
    return found[0] if found else None


def base_subject(subject: str) -> tuple[str, bool]:
    """Return a decoded subject without what answers and forwards add, and whether they did (RFC 5256 2.1)."""
    text = _BLANKS.sub(" ", subject[:MAX_SUBJECT]).strip()
    is_reply = False
    while True:
        before = text
        cut = _TRAILER.sub("", text)
        if "(fwd)" in text[len(cut) :].lower():
            is_reply = True
        text = cut
        while True:
            length = len(text)
            text = text.lstrip()
            leader = last = 0
            while (blob := _BLOB.match(text, leader)) is not None:
                last, leader = leader, blob.end()
            refwd = _REFWD.match(text, leader)
            if refwd is not None:
                text = text[refwd.end() :]
                is_reply = True
            else:  # the blobs go as well, but for the last one where nothing stands behind it
                text = text[leader if text[leader:].strip() else last :]
            if len(text) == length:
                break
        forward = _FORWARD.match(text)
        if forward is not None:
            text = forward[1]
            is_reply = True
        if text == before:
            return text.casefold(), is_reply


def sort(mails: Sequence[Sortable], criteria: Sequence[tuple[str, bool]]) -> list[int]:
    """Return UIDs in order; equal mails by their sequence, which is that of UIDs (RFC 5256 3)."""
    ordered = sorted(mails, key=lambda mail: mail.uid)
    for word, is_reversed in reversed(criteria):
        key = _KEYS[word]
        # `sorted` keeps equal ones in their order, also when it sorts backwards.
        ordered = sorted(ordered, key=key, reverse=is_reversed)
    return [mail.uid for mail in ordered]


_KEYS = {
    "ARRIVAL": lambda mail: mail.received_at,
    "CC": lambda mail: mail.cc,
    "DATE": lambda mail: mail.sent_at,
    "FROM": lambda mail: mail.from_,
    "SIZE": lambda mail: mail.size_bytes,
    "SUBJECT": lambda mail: mail.subject,
    "TO": lambda mail: mail.to,
}


class _Node:
    __slots__ = ("children", "mail", "parent")

    def __init__(self, mail: Sortable | None = None) -> None:
        self.mail = mail
        self.parent: _Node | None = None
        self.children: list[_Node] = []

    @property
    def first(self) -> Sortable | None:
        """The mail of a node, or of its first child."""
        node: _Node | None = self
        while node is not None:
            if node.mail is not None:
                return node.mail
            node = node.children[0] if node.children else None
        return None


def ordered_subject(mails: Sequence[Sortable]) -> list[list[int]]:
    """Gather mails of one base subject, by the date they were sent (RFC 5256, ORDEREDSUBJECT)."""
    threads: dict[str, list[Sortable]] = {}
    for mail in sorted(mails, key=lambda each: (each.subject, each.sent_at, each.uid)):
        threads.setdefault(mail.subject, []).append(mail)
    ordered = sorted(threads.values(), key=lambda thread: (thread[0].sent_at, thread[0].uid))
    return [[mail.uid for mail in thread] for thread in ordered]


def write_ordered(threads: Sequence[Sequence[int]], number: dict[int, int]) -> str:
    """Write threads whose mails all answer the first."""
    written = []
    for uids in threads:
        told = [str(number[uid]) for uid in uids]
        if len(told) <= 2:
            written.append(f"({' '.join(told)})")
        else:
            written.append(f"({told[0]} {''.join(f'({each})' for each in told[1:])})")
    return "".join(written)


def by_references(mails: Sequence[Sortable]) -> list[_Node]:
    """Gather mails by who answers whom (RFC 5256, REFERENCES; the algorithm of Jamie Zawinski)."""
    table: dict[str, _Node] = {}
    nodes: list[_Node] = []
    for mail in sorted(mails, key=lambda each: each.uid):
        node = table.get(mail.message_id) if mail.message_id else None
        if node is None or node.mail is not None:
            node = _Node()  # a mail whose id another has counts as one without (step 1.A)
            if mail.message_id and mail.message_id not in table:
                table[mail.message_id] = node
        node.mail = mail
        nodes.append(node)
        above: _Node | None = None
        for reference in mail.references:
            parent = table.get(reference)
            if parent is None:
                parent = table[reference] = _Node()
            if above is not None and parent.parent is None and not _reaches(above, parent):
                _hang(parent, above)
            above = parent
        if node.parent is not None:
            node.parent.children.remove(node)
            node.parent = None
        if above is not None and above is not node and not _reaches(above, node):
            _hang(node, above)
    everything = {id(node): node for node in (*table.values(), *nodes)}
    roots = _pruned([node for node in everything.values() if node.parent is None])
    _sort_nodes(roots)
    roots = _by_subject(roots)
    _sort_nodes(roots)
    return roots


def _hang(node: _Node, above: _Node) -> None:
    node.parent = above
    above.children.append(node)


def _reaches(node: _Node | None, wanted: _Node) -> bool:
    steps = 0
    while node is not None:
        if node is wanted or steps > MAX_DEPTH:
            return True
        node = node.parent
        steps += 1
    return False


def _pruned(roots: list[_Node]) -> list[_Node]:
    """Take nodes without a mail out; at the top only those with one child or none (step 3)."""
    order: list[_Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):  # children before parents
        kept: list[_Node] = []
        for child in node.children:
            if child.mail is not None:
                kept.append(child)
            else:
                for grandchild in child.children:
                    grandchild.parent = node
                kept.extend(child.children)
        node.children = kept
    result: list[_Node] = []
    for root in roots:
        if root.mail is None and not root.children:
            continue
        if root.mail is None and len(root.children) == 1:
            root.children[0].parent = None
            result.append(root.children[0])
        else:
            result.append(root)
    return result


def _date_key(node: _Node) -> tuple[datetime, int]:
    first = node.first
    assert first is not None
    return first.sent_at, first.uid


def _sort_nodes(roots: list[_Node]) -> None:
    """Order siblings by date, an empty node by its first child (step 4)."""
    order: list[_Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):
        node.children.sort(key=_date_key)
    roots.sort(key=_date_key)


def _by_subject(roots: list[_Node]) -> list[_Node]:
    """Join threads of one base subject (step 5)."""
    table: dict[str, _Node] = {}
    for root in roots:
        first = root.first
        if first is None or not first.subject:
            continue
        known = table.get(first.subject)
        known_first = known.first if known is not None else None
        if (
            known is None
            or (root.mail is None and known.mail is not None)
            or (known_first is not None and known_first.is_reply and not first.is_reply)
        ):
            table[first.subject] = root
    result: list[_Node] = []
    for root in roots:
        first = root.first
        known = table.get(first.subject) if first is not None and first.subject else None
        if known is None or known is root:
            result.append(root)
            continue
        known_first = known.first
        assert first is not None
        assert known_first is not None
        if root.mail is None and known.mail is None:
            for child in root.children:
                _hang(child, known)
        elif known.mail is None or (first.is_reply and not known_first.is_reply):
            _hang(root, known)
        else:
            # Neither answers the other: both under a node of their own, in the place of the one known.
            old = _Node(known.mail)
            old.children = known.children
            for child in old.children:
                child.parent = old
            known.mail = None
            known.children = []
            _hang(old, known)
            _hang(root, known)
    return result


def write_references(roots: Sequence[_Node], number: dict[int, int]) -> str:
    """Write threads in parentheses (RFC 5256 4)."""
    return "".join(f"({_thread(root, number)})" for root in roots)


def _thread(root: _Node, number: dict[int, int]) -> str:
    # Without recursion: a chain of answers may be a thousand long, and branch at each of them.
    pieces: list[str] = []
    waiting: list[_Node | str] = [root]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            pieces.append(each)
            continue
        if each.mail is not None:
            pieces.append(str(number[each.mail.uid]))
            if each.children:
                pieces.append(" ")
        if len(each.children) > 1:
            for child in reversed(each.children):
                waiting += (")", child, "(")
        else:
            waiting += each.children
    return "".join(pieces)
