"""The campaign platform on a test's database: its services, a DNS of the test's own, customers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from postroad.campaigns.customers import Customer
from postroad.campaigns.service import Campaigns, open_campaigns
from postroad.campaigns.tasks.orders import NOBODY, Orders
from postroad.config import Edm
from postroad.db.pool import Database
from postroad.directory.passwords import PasswordHashing
from postroad.dns.answers import Mx, NameNotFound

ZONE = "Asia/Shanghai"
SPF, MX = "spf.platform.example", "mail.platform.example"
PASSWORD = "correct horse 9"


@dataclass
class Dns:
    """Answers with what the test says."""

    txts: dict[str, list[str]] = field(default_factory=dict)
    mxs: dict[str, list[str]] = field(default_factory=dict)

    def serve(self, domain: str) -> None:
        """Publish what a domain needs to pass."""
        self.txts[domain] = [f"v=spf1 include:{SPF} -all"]
        self.mxs[domain] = [MX]

    async def mx(self, domain: str) -> list[Mx]:
        """The MX records."""
        if domain not in self.mxs:
            raise NameNotFound
        return [Mx(10, host) for host in self.mxs[domain]]

    async def txt(self, name: str) -> list[str]:
        """The TXT records."""
        if name not in self.txts:
            raise NameNotFound
        return self.txts[name]


@dataclass
class House:
    """Everything, and short ways to what tests need."""

    database: Database
    dns: Dns
    campaigns: Campaigns

    async def customer(self, username: str, *, volume: int = 100_000, **details: Any) -> Customer:
        """Make a customer."""
        return await self.campaigns.accounts.add(username, PASSWORD, volume=volume, **details)

    async def sender(self, customer_id: int, domain: str = "shop.example", name: str = "news") -> str:
        """Make a verified domain with one mailbox; return its address."""
        self.dns.serve(domain)
        await self.campaigns.domains.add(customer_id, domain)
        await self.campaigns.mailboxes.add(customer_id, f"{name}@{domain}", PASSWORD)
        return f"{name}@{domain}"

    async def template(self, customer_id: int, name: str = "letter", subject: str = "Hello") -> int:
        """Make a template that passed."""
        made = await self.campaigns.templates.add(
            customer_id, name, [subject], "<p>Dear {{ name }}, a letter from us.</p>", plain="Dear reader"
        )
        await self.campaigns.checks.run_all()
        return made

    async def run(self, customer_id: int, task_id: int) -> int:
        """The id of a task's run."""
        return int(
            await self.database.fetchval(
                "SELECT id FROM run WHERE customer_id = $1 AND task_id = $2", customer_id, task_id
            )
        )

    async def expand(
        self, customer_id: int, task_id: int, day: str, outcomes: list[tuple[str, int, int]]
    ) -> int:
        """Write recipients with their outcomes (address, state, failure) on one day; return the run's id."""
        run_id = await self.run(customer_id, task_id)
        shelf = await self.database.fetchval("SELECT ledger_shelf($1, $2)", run_id, len(outcomes))
        count = len(outcomes)
        base = await self.database.fetchval("UPDATE email_id SET next = next + $1 RETURNING next - $1", count)
        await self.database.execute(
            "UPDATE run SET shelf = $3, email_base = $4, recipients = $5, expanded_at = now() "
            "WHERE customer_id = $1 AND id = $2",
            customer_id,
            run_id,
            shelf,
            base,
            len(outcomes),
        )
        await self.database.execute(
            "INSERT INTO run_day (customer_id, run_id, day) VALUES ($1, $2, $3::text::date) "
            "ON CONFLICT DO NOTHING",
            customer_id,
            run_id,
            day,
        )
        await self.database.executemany(
            "INSERT INTO recipient (customer_id, run_id, shelf, contact_id, number, address, state, failure, "
            "day, changed_at) VALUES ($1, $2, $3, 0, $4, $5, $6::smallint, $7::smallint, "
            "CASE WHEN $6::smallint > 1 THEN $8::text::date END, "
            "$8::text::date + $4::integer * interval '1 second')",
            [
                (customer_id, run_id, shelf, number, address, state, failure, day)
                for number, (address, state, failure) in enumerate(outcomes, 1)
            ],
        )
        return run_id


def open_house(database: Database, hashing: PasswordHashing, orders: Orders = NOBODY) -> House:
    """Build the services; `orders` reach a sending engine, if there is one."""
    dns = Dns()
    settings = Edm(timezone=ZONE, spf_name=SPF, mx_host=MX)
    return House(database, dns, open_campaigns(database, hashing, dns, settings, "host.example", orders))
