"""A run of campaign mail that was delivered: what readers open, and what comes back, on the roads."""

from __future__ import annotations

from dataclasses import dataclass

from postroad.campaigns.keys import SealingKeys
from postroad.db.pool import Database
from postroad.message.address import Address

NOTICE = (
    b"From: MAILER-DAEMON@there.test\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\n\r\n--x\r\n'
    b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; there.test\r\n\r\n"
    b"Final-Recipient: rfc822; gone@there.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--x--\r\n"
)


@dataclass(frozen=True)
class Mailed:
    """One run and what names its recipients."""

    run_id: int
    email_base: int
    bounces: tuple[Address, ...]

    async def states(self, database: Database) -> list[int]:
        """The state of each recipient."""
        rows = await database.fetch(
            "SELECT state FROM recipient WHERE run_id = $1 ORDER BY number", self.run_id
        )
        return [row["state"] for row in rows]


async def mailed(database: Database, mark: str, domain: str, count: int = 3) -> Mailed:
    """Write a run with `count` recipients that got their mails."""
    customer_id = await database.fetchval("INSERT INTO customer (username) VALUES ($1) RETURNING id", mark)
    base = await database.fetchval("UPDATE email_id SET next = next + $1 RETURNING next - $1", count)
    run_id = await database.fetchval(
        "INSERT INTO run (customer_id, email_base, recipients, expanded_at, finished_at, is_counted) "
        "VALUES ($1, $2, $3, now(), now(), true) RETURNING id",
        customer_id,
        base,
        count,
    )
    await database.execute("UPDATE run SET shelf = ledger_shelf(id, $2) WHERE id = $1", run_id, count)
    await database.execute(
        "INSERT INTO recipient (customer_id, run_id, shelf, contact_id, number, address, state, "
        "day, changed_at) "
        "SELECT r.customer_id, r.id, r.shelf, 0, n, 'r' || n || '@there.test', 2, CURRENT_DATE, now() "
        "FROM run r, generate_series(1, $2::integer) AS n WHERE r.id = $1",
        run_id,
        count,
    )
    verp = (await SealingKeys(database).get()).verp
    return Mailed(run_id, base, tuple(verp.address(base + number, domain) for number in range(1, count + 1)))
