"""What the mails of a run share, read and compiled once and kept while it is sent; the SQL behind
`rendering.Recipe`.

Kept by the version of the task's row: a task that was paused, changed and resumed is made anew at once.
What stands elsewhere (mailboxes, keys) is looked at again every minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import asyncpg
import structlog

from postroad.campaigns.errors import BadTemplate
from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.senders.domains import SELECTOR
from postroad.campaigns.sending.rendering import Recipe, Sender, TemplateText, Version, prepare, version_of
from postroad.campaigns.tracking.marking import Marked
from postroad.campaigns.tracking.urls import Urls
from postroad.db.pool import Database
from postroad.message.address import Address
from postroad.message.compose import Attachment
from postroad.message.sign import BadKey, SigningKey

REMEMBERED_SECONDS = 60.0
MAX_REMEMBERED = 50  # runs; each has its templates and attachments in memory
MAX_SENDERS = 1000  # that one run deals its recipients out to

_STAMP = """
SELECT t.xmin::text AS stamp FROM run r JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id
WHERE r.customer_id = $1 AND r.id = $2
"""
_RUN = """
SELECT r.id, r.customer_id, r.email_base, t.xmin::text AS stamp, t.sender_kind, t.sender_domain,
       t.sender_address, t.sender_name, t.reply_to, t.has_unsubscribe, t.track, t.track_domain,
       ARRAY(SELECT u.version_id FROM task_template u
             WHERE u.customer_id = t.customer_id AND u.task_id = t.id ORDER BY u.position) AS versions,
       (SELECT min(l.list_id) FROM task_list l
        WHERE l.customer_id = t.customer_id AND l.task_id = t.id) AS list_id
FROM run r JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id
WHERE r.customer_id = $1 AND r.id = $2
"""
PIN_RUN = """
UPDATE task_template u SET version_id = p.version_id FROM run r, template p
WHERE r.customer_id = $1 AND r.id = $2 AND u.customer_id = r.customer_id AND u.task_id = r.task_id
  AND u.version_id IS NULL AND p.customer_id = u.customer_id AND p.id = u.template_id AND p.deleted_at IS NULL
"""
_VERSIONS = """
SELECT id, subjects, html, plain, encoding, attachment_ids FROM template_version
WHERE customer_id = $1 AND id = ANY($2::bigint[])
"""
_ATTACHMENTS = """
SELECT id, name, content_type, content FROM template_attachment
WHERE customer_id = $1 AND id = ANY($2::bigint[])
"""
SENDERS = """
SELECT m.address, d.name AS domain, d.dkim_key FROM sender_mailbox m
JOIN sender_domain d ON d.customer_id = m.customer_id AND d.id = m.domain_id AND d.is_verified
WHERE m.customer_id = $1
  AND CASE $2 WHEN 'all' THEN true WHEN 'domain' THEN d.name = $3 ELSE m.address = $4 END
ORDER BY m.id LIMIT $5
"""
_ADD_LINKS = """
INSERT INTO link (customer_id, run_id, url) SELECT $1::bigint, $2::bigint, url FROM unnest($3::text[]) AS url
ON CONFLICT (customer_id, run_id, md5(url)) DO NOTHING
"""
_OLDEST_KEY = "SELECT key FROM sealing_key ORDER BY id LIMIT 1"
_LINKS = "SELECT id, url FROM link WHERE customer_id = $1 AND run_id = $2"

log = structlog.get_logger("postroad.campaigns.sending.recipes")


class CannotSend(Exception):
    """Nothing of the run can be sent as things stand; the message is the reason that the task shows."""


class StoredKey(Protocol):
    """A key of the directory's (`directory.DkimKey`)."""

    @property
    def domain(self) -> str:
        """The domain that signs."""
        ...

    @property
    def selector(self) -> str:
        """Under which its record stands."""
        ...

    @property
    def private_key(self) -> bytes:
        """PKCS #8, PEM."""
        ...


class Keys(Protocol):
    """Keys of domains that mail of people is sent from, too (`directory.Domains`)."""

    async def signing_keys(self, names: Sequence[str]) -> Mapping[str, Sequence[StoredKey]]:
        """Return the keys that sign for each domain."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where readers and bounces come to: an URL such as https://mail.example.com, and a domain."""

    base_url: str
    bounce_domain: str


@dataclass(frozen=True, slots=True)
class _Kept:
    recipe: Recipe
    stamp: str
    good_until: float


class Recipes:
    """The recipes of one worker."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        sealing: SealingKeys,
        places: Places,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sealing` has what tokens and envelope senders are sealed with."""
        self._database = database
        self._keys = keys
        self._places = places
        self._sealing = sealing
        self._labels: Labels | None = None
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[int, int], _Kept] = OrderedDict()

    def size_of(self, customer_id: int, run_id: int) -> int | None:
        """How much memory a mail of the run takes, if that is known."""
        kept = self._kept.get((customer_id, run_id))
        return None if kept is None else kept.recipe.size_bytes

    async def of(self, customer_id: int, run_id: int) -> Recipe:
        """The recipe of a run. Raises `CannotSend`, `DatabaseUnavailable`."""
        kept = self._kept.get((customer_id, run_id))
        if (
            kept is not None
            and kept.good_until > self._monotonic()
            and await self._database.fetchval(_STAMP, customer_id, run_id) == kept.stamp
        ):
            return kept.recipe
        recipe, stamp = await self._read(customer_id, run_id)
        self._kept[customer_id, run_id] = _Kept(recipe, stamp, self._monotonic() + REMEMBERED_SECONDS)
        self._kept.move_to_end((customer_id, run_id))
        while len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)
        return recipe

    async def _read(self, customer_id: int, run_id: int) -> tuple[Recipe, str]:
        # A task that was paused may have got other templates since it began.
        await self._database.execute(PIN_RUN, customer_id, run_id)
        row = await self._database.fetchrow(_RUN, customer_id, run_id)
        if row is None:
            raise CannotSend("the task is gone")
        senders = await self._senders(row)
        versions = await self._versions(row)
        sealing, labels = await self._sealing.get(), await self._made_labels()
        base = f"https://{row['track_domain']}" if row["track_domain"] else self._places.base_url
        recipe = Recipe(
            run_id=run_id,
            email_base=row["email_base"],
            versions=tuple(versions),
            senders=tuple(senders),
            sender_name=row["sender_name"],
            reply_to=row["reply_to"],
            list_label=labels.label("list", customer_id, row["list_id"] or 0),
            feedback_id=":".join(
                (
                    labels.label("run", run_id),
                    labels.label("customer", customer_id),
                    "bulk",
                    labels.label("sender", 0)[:15],
                )
            ),
            urls=Urls(sealing.tokens, base),
            verp=sealing.verp,
            id_key=labels.key,
        )
        return recipe, row["stamp"]

    async def _made_labels(self) -> Labels:
        if self._labels is None:
            self._labels = Labels(bytes(await self._database.fetchval(_OLDEST_KEY)))
        return self._labels

    async def _senders(self, row: asyncpg.Record) -> list[Sender]:
        rows = await self._database.fetch(
            SENDERS,
            row["customer_id"],
            row["sender_kind"],
            row["sender_domain"],
            row["sender_address"],
            MAX_SENDERS,
        )
        if not rows:
            raise CannotSend("there is no mailbox to send from any more, or its domain is not verified")
        keys: dict[str, tuple[SigningKey, ...]] = {}
        without = sorted({each["domain"] for each in rows if each["dkim_key"] is None})
        stored = await self._keys.signing_keys(without) if without else {}
        for each in rows:
            domain, pem = each["domain"], each["dkim_key"]
            if domain in keys:
                continue
            theirs = [(key.selector, key.private_key) for key in stored.get(domain, ())]
            keys[domain] = _loaded(domain, theirs if pem is None else [(SELECTOR, pem)])
        return [
            Sender(
                Address(each["address"].rpartition("@")[0], each["domain"]),
                keys[each["domain"]],
                self._places.bounce_domain,
            )
            for each in rows
        ]

    async def _versions(self, row: asyncpg.Record) -> list[Version]:
        customer_id, wanted = row["customer_id"], [each for each in row["versions"] if each is not None]
        rows = await self._database.fetch(_VERSIONS, customer_id, wanted)
        found = {each["id"]: each for each in rows}
        if not row["versions"] or any(each not in found for each in row["versions"]):
            raise CannotSend("a template of the task is gone")
        ids = sorted({id for each in rows for id in each["attachment_ids"]})
        files = {each["id"]: each for each in await self._database.fetch(_ATTACHMENTS, customer_id, ids)}
        stored = {
            each["id"]: TemplateText(
                each["subjects"],
                each["html"],
                each["plain"],
                each["encoding"],
                [
                    Attachment(files[id]["name"], files[id]["content_type"], files[id]["content"])
                    for id in each["attachment_ids"]
                    if id in files
                ],
            )
            for each in rows
        }
        try:
            prepared = await asyncio.to_thread(_prepare_all, stored, row["track"], row["has_unsubscribe"])
            urls = sorted({link.url for marked, _ in prepared.values() for link in marked.links})
            link_ids = await self._link_ids(customer_id, row["id"], urls)
            versions = await asyncio.to_thread(_compile_all, prepared, link_ids)
        except BadTemplate as error:
            raise CannotSend(f"a template cannot be compiled: {error}") from error
        return [versions[each] for each in row["versions"]]

    async def _link_ids(self, customer_id: int, run_id: int, urls: Sequence[str]) -> dict[str, int]:
        if not urls:
            return {}
        known = {row["url"]: row["id"] for row in await self._database.fetch(_LINKS, customer_id, run_id)}
        missing = [url for url in urls if url not in known]
        if missing:
            await self._database.execute(_ADD_LINKS, customer_id, run_id, missing)
            rows = await self._database.fetch(_LINKS, customer_id, run_id)
            known = {row["url"]: row["id"] for row in rows}
        return known


class Labels:
    """Names that say nothing to strangers: the same for the same thing, whatever keys are made later."""

    def __init__(self, oldest_key: bytes) -> None:
        self.key = blake2b(b"postroad labels" + oldest_key, digest_size=32).digest()

    def label(self, what: str, *ids: int) -> str:
        """A short name for something."""
        text = f"{what} {' '.join(map(str, ids))}".encode()
        return blake2b(text, key=self.key, digest_size=8).hexdigest()


def _prepare_all(
    stored: Mapping[int, TemplateText], track: int, has_unsubscribe: bool
) -> dict[int, tuple[Marked, TemplateText]]:
    return {
        id: prepare(text, opens=track >= 1, clicks=track == 2, has_unsubscribe=has_unsubscribe)
        for id, text in stored.items()
    }


def _compile_all(
    prepared: Mapping[int, tuple[Marked, TemplateText]], link_ids: Mapping[str, int]
) -> dict[int, Version]:
    return {
        id: version_of(marked, text, [link_ids[link.url] for link in marked.links])
        for id, (marked, text) in prepared.items()
    }


def _loaded(domain: str, stored: Sequence[tuple[str, bytes]]) -> tuple[SigningKey, ...]:
    keys = []
    for selector, pem in stored:
        try:
            keys.append(SigningKey.load(domain, selector, pem))
        except (BadKey, ValueError) as error:
            log.error("signing_key_unusable", domain=domain, selector=selector, error=str(error))
    return tuple(keys)
