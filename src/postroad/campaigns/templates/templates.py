"""Templates and their versions, attachments and checks; the SQL of `template*`.

Every change of what a template says makes a new version, so a task that has begun keeps what it began with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg

from postroad.campaigns.contacts.lists import OPEN_STATES
from postroad.campaigns.contacts.values import clean
from postroad.campaigns.errors import BadInput, InUse, NotFound
from postroad.campaigns.templates.language import compile_template
from postroad.db.pool import Connection, Database

Encoding = Literal["base64", "quoted-printable"]

MAX_NAME = 200
MAX_SUBJECTS = 50
MAX_ATTACHMENTS = 20
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024

_TEMPLATE = """
SELECT t.id, t.customer_id, t.name, t.check_state, t.colour, t.findings, t.size_bytes, t.content_type,
       t.created_at, t.updated_at, v.id AS version_id, v.encoding, v.subjects, v.subject_ids, v.html, v.plain,
       (SELECT coalesce(array_agg((a.id, a.name) ORDER BY a.id), '{}') FROM template_attachment a
        WHERE a.customer_id = t.customer_id AND a.id = ANY(v.attachment_ids)) AS attachments
FROM template t
JOIN template_version v ON v.customer_id = t.customer_id AND v.id = t.version_id
WHERE t.customer_id = $1 AND t.deleted_at IS NULL
"""
_ADD_VERSION = """
WITH made AS (
    INSERT INTO template_version
        (customer_id, template_id, encoding, subjects, subject_ids, html, plain, attachment_ids)
    SELECT $1, $2, $3, $4::text[],
           coalesce((SELECT array_agg(coalesce(old.id, nextval('template_subject_id')) ORDER BY s.place)
                     FROM unnest($4::text[]) WITH ORDINALITY AS s(text, place)
                     LEFT JOIN LATERAL (SELECT o.id FROM unnest($8::text[], $9::bigint[]) AS o(text, id)
                                        WHERE o.text = s.text LIMIT 1) AS old ON true), '{}'),
           $5, $6, $7::bigint[]
    RETURNING id
)
UPDATE template SET version_id = made.id, updated_at = now(), check_state = -1, colour = '',
                    findings = '[]', size_bytes = NULL, lease_until = NULL
FROM made WHERE customer_id = $1 AND template.id = $2
"""
_IN_USE = """
SELECT EXISTS (SELECT FROM task_template tt
               JOIN task t ON t.customer_id = tt.customer_id AND t.id = tt.task_id
               WHERE tt.customer_id = $1 AND tt.template_id = $2
                 AND t.state = ANY($3::smallint[]) AND t.deleted_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """A file to be sent with every mail."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Template:
    """A template in its newest version."""

    id: int
    customer_id: int
    name: str
    check_state: int
    colour: str
    findings: Sequence[dict[str, Any]]
    size_bytes: int | None
    content_type: int
    created_at: datetime
    updated_at: datetime
    version_id: int
    encoding: Encoding
    subjects: tuple[str, ...]
    subject_ids: tuple[int, ...]
    html: str
    plain: str
    attachments: tuple[tuple[int, str], ...]


class Templates:
    """The templates of all customers. One that is not the customer's raises `NotFound`."""

    def __init__(self, database: Database, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change` is called when a template waits to be checked."""
        self._database = database
        self._on_change = on_change

    async def add(
        self,
        customer_id: int,
        name: str,
        subjects: Sequence[str],
        html: str,
        *,
        plain: str = "",
        encoding: Encoding = "base64",
        attachments: Sequence[NewAttachment] = (),
    ) -> int:
        """Make a template, to be checked, and return its id. Raises `BadInput`, `BadTemplate`."""
        checked = _checked(subjects, html, plain)
        async with self._database.transaction() as connection:
            template_id = int(
                await connection.fetchval(
                    "INSERT INTO template (customer_id, name) VALUES ($1, $2) RETURNING id",
                    customer_id,
                    _name(name),
                )
            )
            ids = await _attach_in(connection, customer_id, template_id, attachments, 0)
            await connection.execute(
                _ADD_VERSION, customer_id, template_id, encoding, checked, html, plain, ids, [], []
            )
        self._on_change()
        return template_id

    async def get(self, customer_id: int, template_id: int) -> Template:
        """Return one template."""
        row = await self._database.fetchrow(f"{_TEMPLATE} AND t.id = $2", customer_id, template_id)
        if row is None:
            raise NotFound("template", template_id)
        return _template(row)

    async def page(self, customer_id: int, after: int = 0, limit: int = 50) -> list[Template]:
        """Return up to `limit` templates by id, those after the id `after`."""
        rows = await self._database.fetch(
            f"{_TEMPLATE} AND t.id > $2 ORDER BY t.id LIMIT $3", customer_id, after, limit
        )
        return [_template(row) for row in rows]

    async def each(self, customer_id: int) -> AsyncIterator[Template]:
        """Every template by id."""
        last = 0
        while page := await self.page(customer_id, last):
            for template in page:
                yield template
            last = page[-1].id

    async def edit(
        self,
        customer_id: int,
        template_id: int,
        *,
        name: str | None = None,
        subjects: Sequence[str] | None = None,
        html: str | None = None,
        plain: str | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        """Change what is not None; a change of what it says begins a new check.

        Raises `BadInput`, `BadTemplate`, `NotFound`.
        """
        async with self._database.transaction() as connection:
            old = await _held_in(connection, customer_id, template_id)
            if name is not None:
                await connection.execute(
                    "UPDATE template SET name = $3, updated_at = now() WHERE customer_id = $1 AND id = $2",
                    customer_id,
                    template_id,
                    _name(name),
                )
            if subjects is None and html is None and plain is None and encoding is None:
                return
            new_html = old["html"] if html is None else html
            new_plain = old["plain"] if plain is None else plain
            checked = _checked(old["subjects"] if subjects is None else subjects, new_html, new_plain)
            await connection.execute(
                _ADD_VERSION,
                customer_id,
                template_id,
                encoding or old["encoding"],
                checked,
                new_html,
                new_plain,
                old["attachment_ids"],
                old["subjects"],
                old["subject_ids"],
            )
        self._on_change()

    async def remove(self, customer_id: int, template_id: int) -> None:
        """Remove a template. Raises `InUse`, `NotFound`."""
        async with self._database.transaction() as connection:
            await _held_in(connection, customer_id, template_id)
            if await connection.fetchval(_IN_USE, customer_id, template_id, OPEN_STATES):
                raise InUse("template", template_id)
            await connection.execute(
                "UPDATE template SET deleted_at = now() WHERE customer_id = $1 AND id = $2",
                customer_id,
                template_id,
            )

    async def attach(
        self, customer_id: int, template_id: int, attachments: Sequence[NewAttachment]
    ) -> list[int]:
        """Add files and return their ids. Raises `BadInput`, `NotFound`."""
        async with self._database.transaction() as connection:
            old = await _held_in(connection, customer_id, template_id)
            kept = list(old["attachment_ids"])
            ids = await _attach_in(connection, customer_id, template_id, attachments, len(kept))
            await _replace_attachments_in(connection, customer_id, template_id, old, [*kept, *ids])
        return ids

    async def detach(self, customer_id: int, template_id: int, attachment_ids: Sequence[int] | None) -> int:
        """Remove files, None = all of them, and return how many. Raises `NotFound`."""
        async with self._database.transaction() as connection:
            old = await _held_in(connection, customer_id, template_id)
            present = list(old["attachment_ids"])
            gone = present if attachment_ids is None else [id for id in attachment_ids if id in present]
            if attachment_ids is not None and len(gone) != len(set(attachment_ids)):
                missing = next(id for id in attachment_ids if id not in present)
                raise NotFound("attachment", missing)
            if gone:
                kept = [id for id in present if id not in gone]
                await _replace_attachments_in(connection, customer_id, template_id, old, kept)
        return len(gone)

    async def approve(self, customer_id: int, template_id: int) -> None:
        """Let a refused template pass all the same, as an administrator may. Raises `NotFound`."""
        done = await self._database.fetchval(
            "UPDATE template SET check_state = 1, colour = 'red_pass' "
            "WHERE customer_id = $1 AND id = $2 AND check_state = 0 AND deleted_at IS NULL RETURNING id",
            customer_id,
            template_id,
        )
        if done is None:
            raise NotFound("refused template", template_id)


async def _held_in(connection: Connection, customer_id: int, template_id: int) -> asyncpg.Record:
    """Lock the template against other changes and return its newest version."""
    found = await connection.fetchval(
        "SELECT version_id FROM template "
        "WHERE customer_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE",
        customer_id,
        template_id,
    )
    if found is None:
        raise NotFound("template", template_id)
    row = await connection.fetchrow(
        "SELECT * FROM template_version WHERE customer_id = $1 AND id = $2", customer_id, found
    )
    assert row is not None
    return row


async def _attach_in(
    connection: Connection, customer_id: int, template_id: int, files: Sequence[NewAttachment], present: int
) -> list[int]:
    if present + len(files) > MAX_ATTACHMENTS:
        raise BadInput("file", f"at most {MAX_ATTACHMENTS} attachments")
    for file in files:
        if len(file.content) > MAX_ATTACHMENT_BYTES:
            raise BadInput("file", f"at most {MAX_ATTACHMENT_BYTES} bytes each")
    return [
        int(
            await connection.fetchval(
                "INSERT INTO template_attachment (customer_id, template_id, name, content_type, content) "
                "VALUES ($1, $2, $3, $4, $5) RETURNING id",
                customer_id,
                template_id,
                clean(file.name.replace("\\", "/").rpartition("/")[2], MAX_NAME) or "attachment",
                clean(file.content_type, 100) or "application/octet-stream",
                file.content,
            )
        )
        for file in files
    ]


async def _replace_attachments_in(
    connection: Connection, customer_id: int, template_id: int, old: asyncpg.Record, ids: Sequence[int]
) -> None:
    await connection.execute(
        _ADD_VERSION,
        customer_id,
        template_id,
        old["encoding"],
        old["subjects"],
        old["html"],
        old["plain"],
        list(ids),
        old["subjects"],
        old["subject_ids"],
    )


def _name(text: str) -> str:
    name = clean(text, MAX_NAME + 1)
    if not 1 <= len(name) <= MAX_NAME:
        raise BadInput("name", f"1 to {MAX_NAME} characters")
    return name


def _checked(subjects: Sequence[str], html: str, plain: str) -> list[str]:
    """Compile everything, so that a template that cannot be used is refused when it is uploaded."""
    kept = [subject for subject in (clean(text, 1000) for text in subjects) if subject]
    if not 1 <= len(kept) <= MAX_SUBJECTS:
        raise BadInput("subject", f"1 to {MAX_SUBJECTS} subjects")
    if "\x00" in html or "\x00" in plain:
        raise BadInput("content", "a NUL character")
    for subject in kept:
        compile_template(subject, "subject")
    compile_template(html, "html")
    compile_template(plain, "text")
    return kept


def _template(row: asyncpg.Record) -> Template:
    values = dict(row)
    for name in ("subjects", "subject_ids"):
        values[name] = tuple(values[name])
    values["attachments"] = tuple((int(id), str(name)) for id, name in values["attachments"])
    return Template(**values)
