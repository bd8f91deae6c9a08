"""Mail that leaves is signed by its author's domain with both keys; an independent verifier says so."""

from __future__ import annotations

import dkim
import pytest

from postroad.directory.addresses.domains import DkimKey
from postroad.message.address import Address
from postroad.message.sign import SigningKey, dns_record, generate_key
from postroad.protocols.smtp.envelope import Envelope
from tests.sink import Sink
from tests.transport.conftest import Clock, House, mail, recipients

DOMAIN = "here.example"


class Keys:
    """Two keys of one domain, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.keys = [
            DkimKey(1, DOMAIN, "r1", "rsa-sha256", generate_key("rsa-2048"), Clock()()),
            DkimKey(2, DOMAIN, "e1", "ed25519-sha256", generate_key("ed25519"), Clock()()),
        ]

    async def signing_keys(self, names: object) -> dict[str, list[DkimKey]]:
        self.asked += 1
        return {DOMAIN: self.keys} if DOMAIN in str(names) else {}

    def txt(self, name: bytes, timeout: int = 5) -> bytes | None:
        for key in self.keys:
            loaded = SigningKey.load(key.domain, key.selector, key.private_key)
            if name.decode().rstrip(".") == loaded.record_name:
                return "".join(dns_record(loaded)).encode()
        return None


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


def signatures(content: bytes) -> int:
    return content.lower().count(b"dkim-signature:")


async def test_both_signatures_of_a_submission_verify(house: House, sink: Sink, keys: Keys) -> None:
    anna = await house.account()
    asked = keys.asked
    async with house.worker(sink, keys=keys) as worker:
        for number in range(3):
            content = mail(f"Mail {number}", more="X-Other: 1\r\n") + "Grüße  \r\n\r\n.\r\n\r\n".encode()
            envelope = Envelope(anna.address, recipients(f"to{number}@there.example"))
            await worker.acceptance.accept(envelope, content, house.session(anna))
        await sink.wait_for(3)
        await house.until_empty()
    for arrived in sink.mails:
        assert signatures(arrived.content) == 2
        verifier = dkim.DKIM(arrived.content)
        assert verifier.verify(0, dnsfunc=keys.txt)
        assert verifier.verify(1, dnsfunc=keys.txt)
    assert keys.asked == asked + 1, "keys are kept ready"


async def test_forwarded_mail_of_strangers_is_not_signed(house: House, sink: Sink, keys: Keys) -> None:
    await house.alias("team@here.example", "to@there.example")
    async with house.worker(sink, keys=keys) as worker:
        envelope = Envelope(Address.parse("a@else.example"), recipients("team@here.example"))
        await worker.acceptance.accept(envelope, mail(sender="anna@here.example"), house.session())
        await sink.wait_for(1)
        await house.until_empty()
    assert signatures(sink.mails[0].content) == 0


async def test_list_mail_is_signed_by_the_list(house: House, sink: Sink, keys: Keys) -> None:
    await house.distribution_list("all@here.example", "to@there.example", posting="anyone")
    async with house.worker(sink, keys=keys) as worker:
        envelope = Envelope(Address.parse("a@else.example"), recipients("all@here.example"))
        await worker.acceptance.accept(envelope, mail(sender="a@else.example"), house.session())
        await sink.wait_for(1)
        await house.until_empty()
    (arrived,) = sink.mails
    assert signatures(arrived.content) == 2
    assert dkim.DKIM(arrived.content).verify(0, dnsfunc=keys.txt)
