"""A task that was sent: its lists, contacts, version, links and recipients, written as the engine leaves
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroad.campaigns.tracking.marking import mark
from postroad.campaigns.tracking.urls import Urls
from postroad.db.pool import Database
from tests.campaigns.house import House

HTML = (
    '<html><body><h1>Dear {{ name }}</h1><a href="https://shop.example/sale">sale</a>'
    '<a href="https://shop.example/of/{{ var1 }}?n={{ name }}">yours</a>'
    '<a href="https://other.example/">other</a><a href="{{ unsubscribe_url }}">out</a></body></html>'
)


@dataclass
class Mailing:
    """What was sent, and short ways to the addresses in it."""

    house: House
    customer_id: int
    task_id: int
    run_id: int
    email_base: int
    list_ids: list[int]
    addresses: list[str]
    link_ids: list[int] = field(default_factory=list)

    def email(self, number: int) -> int:
        """The email_id of a recipient."""
        return self.email_base + number

    async def urls(self) -> Urls:
        """The addresses of readers' pages, without a host."""
        return Urls((await self.house.campaigns.keys.get()).tokens, "http://x")

    async def path(self, kind: str, number: int = 1, *more: object) -> str:
        """The path of a kind of page, or of a link."""
        made: str = getattr(await self.urls(), kind)(self.run_id, self.email(number), *more)
        return made.removeprefix("http://x")

    async def states(self) -> list[tuple[int, int]]:
        """State and failure of every recipient."""
        rows = await self.house.database.fetch(
            "SELECT state, failure FROM recipient WHERE run_id = $1 ORDER BY number", self.run_id
        )
        return [(row["state"], row["failure"]) for row in rows]


async def send_mailing(
    house: House,
    addresses: Sequence[str] = ("li@reader.example", "wang@reader.example", "zhao@reader.example"),
    *,
    username: str = "shop",
    lists: Sequence[str] = ("News",),
    state: int = 2,
    html: str = HTML,
    day: str = "2026-03-02",
    kind: str = "web",
) -> Mailing:
    """Everything up to recipients that are in `state`; delivered an hour ago unless it says otherwise."""
    database = house.database
    found = await database.fetchval("SELECT id FROM customer WHERE username = $1", username)
    customer_id = found or (await house.customer(username, company=f"{username} Ltd")).id
    list_ids = [
        await database.fetchval(
            "INSERT INTO contact_list (customer_id, subject) VALUES ($1, $2) RETURNING id", customer_id, name
        )
        for name in lists
    ]
    contacts = [
        await database.fetchval(
            "INSERT INTO contact (customer_id, list_id, address, fullname, vars) VALUES ($1, $2, "
            "$3, $4, $5) RETURNING id",
            customer_id,
            list_ids[0],
            address,
            f"Reader {number}",
            [f"v{number}"],
        )
        for number, address in enumerate(addresses, 1)
    ]
    task_id = await _task(database, customer_id, list_ids, lists, html)
    run_id = await house.run(customer_id, task_id)
    shelf = await database.fetchval("SELECT ledger_shelf($1, $2)", run_id, len(addresses))
    base = await database.fetchval("UPDATE email_id SET next = next + $1 RETURNING next - $1", len(addresses))
    await database.execute(
        "UPDATE run SET shelf = $2, email_base = $3, recipients = $4, expanded_at = now(), "
        "finished_at = now(), "
        "kind = $5, task_id = CASE WHEN $5 = 'web' THEN task_id END WHERE id = $1",
        run_id,
        shelf,
        base,
        len(addresses),
        kind,
    )
    await database.execute(
        "INSERT INTO run_day (customer_id, run_id, day) VALUES ($1, $2, $3::text::date)",
        customer_id,
        run_id,
        day,
    )
    await database.executemany(
        "INSERT INTO recipient (customer_id, run_id, shelf, contact_id, number, address, state, "
        "day, changed_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $7::smallint > 1 THEN $8::text::date END, "
        "CASE WHEN $7::smallint > 1 THEN now() - interval '1 hour' END)",
        [
            (customer_id, run_id, shelf, contact, number, address, state, day)
            for number, (contact, address) in enumerate(zip(contacts, addresses, strict=True), 1)
        ],
    )
    links = [
        await database.fetchval(
            "INSERT INTO link (customer_id, run_id, url) VALUES ($1, $2, $3) RETURNING id",
            customer_id,
            run_id,
            link.url,
        )
        for link in mark(html).links
    ]
    return Mailing(house, customer_id, task_id, run_id, base, list_ids, list(addresses), links)


async def _task(
    database: Database, customer_id: int, list_ids: Sequence[int], lists: Sequence[str], html: str
) -> int:
    template_id = await database.fetchval(
        "INSERT INTO template (customer_id, name) VALUES ($1, 'letter') RETURNING id", customer_id
    )
    version_id = await database.fetchval(
        "INSERT INTO template_version (customer_id, template_id, subjects, subject_ids, html) "
        "VALUES ($1, $2, '{Hello}', '{1}', $3) RETURNING id",
        customer_id,
        template_id,
        html,
    )
    task_id: int = await database.fetchval(
        "INSERT INTO task (customer_id, ident, state, sender_kind, send_at, track) "
        "VALUES ($1, 'ident-' || $2::bigint, 3, 'all', now(), 2) RETURNING id",
        customer_id,
        version_id,
    )
    await database.execute("INSERT INTO run (customer_id, task_id) VALUES ($1, $2)", customer_id, task_id)
    await database.execute(
        "INSERT INTO task_template (customer_id, task_id, position, template_id, template_name, version_id) "
        "VALUES ($1, $2, 1, $3, 'letter', $4)",
        customer_id,
        task_id,
        template_id,
        version_id,
    )
    for position, (list_id, name) in enumerate(zip(list_ids, lists, strict=True), 1):
        await database.execute(
            "INSERT INTO task_list (customer_id, task_id, position, list_id, list_name) VALUES ($1, "
            "$2, $3, $4, $5)",
            customer_id,
            task_id,
            position,
            list_id,
            name,
        )
    return task_id
