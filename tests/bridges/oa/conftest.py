"""An OA that writes rows, over a house whose outgoing mail lands in a sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from postroad.bridges.oa.approvals import Approvals
from postroad.bridges.oa.attachments import DatFiles
from postroad.bridges.oa.outgoing import House as OaHouse
from postroad.bridges.oa.outgoing import Outgoing
from postroad.bridges.oa.retention import WebsentRetention
from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.folders import ensure_defaults_in
from postroad.transport.service import Transport
from tests.sink import Sink, running
from tests.transport.conftest import HOSTNAME, House

ZONE = ZoneInfo("Asia/Shanghai")
MAX_SIZE_BYTES = 2_000_000


@dataclass
class Oa:
    """Rows in, mails out."""

    house: House
    sink: Sink
    files: DatFiles
    make: Callable[[Transport], OaHouse]
    outgoing: Outgoing
    approvals: Approvals

    async def write(self, mail_id: str = "AA26010100000001", **columns: Any) -> str:
        """Write a row as an OA does: the columns it cares about."""
        values: dict[str, Any] = {"Account": "anna@here.example", "MailTo": "bert@there.example", **columns}
        names = ", ".join(["MailId", *values])
        places = ", ".join(f"${number}" for number in range(1, len(values) + 2))
        await self.house.database.execute(
            f"INSERT INTO oa.websent ({names}) VALUES ({places})", mail_id, *values.values()
        )
        return mail_id

    async def attach(self, mail_id: str, number: str, name: str, **columns: Any) -> None:
        """Write a row about an attachment."""
        values = {"Maild": mail_id, "AttachId": number, "AttachName": name, **columns}
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await self.house.database.execute(
            f"INSERT INTO oa.websentattach ({', '.join(values)}) VALUES ({places})", *values.values()
        )

    def file(self, mail_id: str, number: str, content: bytes) -> None:
        """Lay an attachment's file where the documents say."""
        self.files.make()
        (self.files.directory / f"{mail_id}_{number}.dat").write_bytes(b"\r\n\r\n" + content)

    async def row(self, mail_id: str = "AA26010100000001") -> dict[str, Any]:
        """A row as the OA reads it."""
        found = await self.house.database.fetchrow("SELECT * FROM oa.websent WHERE mailid = $1", mail_id)
        assert found is not None
        return dict(found)

    async def send(self) -> None:
        """Do all the work there is now."""
        while await self.outgoing.send_batch():
            pass

    async def arrived(self, count: int = 1) -> bytes:
        """Send, and return the raw mail at the sink once `count` recipients have theirs."""
        await self.send()
        await self.sink.wait_for(count)
        return self.sink.mails[-1].content

    async def refused(self, mail_id: str = "AA26010100000001") -> str:
        """Send, hold the row to having been refused and told, and return the reason."""
        await self.send()
        row = await self.row(mail_id)
        assert row["mailstatus"] == -1
        assert row["processedtime"]
        assert not self.sink.mails
        return str(row["errorinfo"])


@pytest.fixture
async def oa(database: Database, tmp_path: Path) -> AsyncIterator[Oa]:
    """A house with `anna` in it, on the way to a sink."""
    house = House(database, Blobs(str(tmp_path / "blobs")))
    await house.account("anna@here.example")
    hashing = PasswordHashing()
    files = DatFiles(tmp_path)

    def make(transport: Transport) -> OaHouse:
        return OaHouse(
            database=database,
            resolver=house.resolver,
            accounts=Accounts(database, Outbox(), hashing, ensure_defaults_in),
            joining=transport.joining,
            files=files,
            hostname=HOSTNAME,
            zone=ZONE,
            max_size_bytes=MAX_SIZE_BYTES,
            clock=house.clock,
        )

    async with running(Sink()) as sink, house.worker(sink) as transport:
        parts = make(transport)
        outgoing = Outgoing(parts, None)
        yield Oa(house, sink, files, make, outgoing, Approvals(parts, outgoing))
        await house.until_empty()
    await house.check()
    hashing.close()


@pytest.fixture
def retention(oa: Oa) -> WebsentRetention:
    """Thirty days."""
    return WebsentRetention(oa.house.database, oa.files, 30, oa.house.clock)
