"""What a mail from outside must not claim: results of our checks, and to come from one of us."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.foreign import WARNING, without_forged
from tests.transport.conftest import House, mail, recipients

OURS = "mx.here.example"
ANNA = Address.parse("anna@here.example")
BERT = Address.parse("bert@here.example")
STRANGER = Address.parse("stranger@there.example")
REST = b"Subject: x\r\n\r\nAuthentication-Results: mx.here.example; in the body\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.here.example; spf=pass\r\n",
        b"AUTHENTICATION-RESULTS : MX.Here.Example 1; dkim=pass\r\n\theader.d=bank.example\r\n",
        b"Authentication-Results:\r\n  (a (nested \\) comment)) mx.here.example.;\r\n spf=pass\r\n",
        b'Authentication-Results: "mx.here\\.example"; spf=pass\r\n',
        b"Authentication-Results: mx.here.example\r\n",
        b"X-Postroad-Warning: none\r\n",
    ],
)
def test_fields_that_only_we_may_write_are_removed(field: bytes) -> None:
    assert without_forged(field + REST, OURS) == REST
    assert without_forged(b"A: b\r\n" + field + field + REST, OURS) == b"A: b\r\n" + REST
    assert without_forged(field, OURS) == b""


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.there.example; spf=pass\r\n",
        b"Authentication-Results: amx.here.example; spf=pass\r\n",
        b"Authentication-Results: (mx.here.example) other.example; spf=pass\r\n",
        b"Authentication-Results:\r\n",
        b"ARC-Authentication-Results: i=1; mx.here.example; spf=pass\r\n",
        b"X-Authentication-Results: mx.here.example; spf=pass\r\n",
        b"Subject: on\r\n Authentication-Results: mx.here.example; spf=pass\r\n",
    ],
)
def test_fields_of_others_stay(field: bytes) -> None:
    assert without_forged(field + REST, OURS) == field + REST


@given(
    st.lists(
        st.sampled_from(
            [
                b"Authentication-Results:",
                b"mx.here.example",
                b" ",
                b"(",
                b")",
                b'"',
                b"\\",
                b"\r\n",
                b"\n",
                b";",
            ]
        ),
        max_size=60,
    )
)
def test_any_header_keeps_its_body_and_loses_only_whole_fields(pieces: list[bytes]) -> None:
    header = b"".join(pieces).replace(b"\r\n\r\n", b"")
    content = b"A: b\r\n" + header.strip() + b"\r\n\r\nbody\r\n"
    cleaned = without_forged(content, OURS)
    assert cleaned.startswith(b"A: b\r\n") and cleaned.endswith(b"\r\nbody\r\n")
    assert without_forged(cleaned, OURS) == cleaned


def test_a_bomb_of_comments_costs_little() -> None:
    bomb = b"Authentication-Results: " + b"(" * 200_000 + b"\r\n" + REST
    folded = b"Authentication-Results: " + b"(\\\r\n " * 40_000 + b"\r\n" + REST
    begin = time.process_time()
    without_forged(bomb, OURS)
    without_forged(folded, OURS)
    assert time.process_time() - begin < 2


async def take(
    house: House, sender: Address | None, content: bytes, client: str = "192.0.2.9", **smtp: object
) -> None:
    async with house.worker(delivers=False, smtp={"own_domains": "mark", **smtp}) as worker:
        envelope = Envelope(sender, recipients("anna@here.example"))
        await worker.acceptance.accept(envelope, content, house.session(client=client))


FROM_BERT = b"From: Bert <bert@here.example>\r\nSubject: please pay\r\n\r\nnow\r\n"
FROM_STRANGER = b"From: <stranger@there.example>\r\nSubject: hello\r\n\r\nyou\r\n"


@pytest.mark.parametrize(
    ("sender", "content"),
    [
        (BERT, FROM_BERT),
        (STRANGER, FROM_BERT),
        (BERT, FROM_STRANGER),
        (None, FROM_BERT),
        (Address.parse("nobody@here.example"), FROM_STRANGER),
    ],
)
async def test_an_address_of_ours_from_outside_is_marked_and_filed_as_junk(
    house: House, sender: Address | None, content: bytes
) -> None:
    anna = await house.account()
    await take(house, sender, content)
    [got] = await house.inbox(anna, "junk")
    assert WARNING in got and got.endswith(content)
    assert await house.inbox(anna) == []


async def test_other_mail_is_not(house: House) -> None:
    anna = await house.account()
    await take(house, STRANGER, FROM_STRANGER)
    await take(house, None, FROM_STRANGER)
    assert len(await house.inbox(anna)) == 2
    assert WARNING not in b"".join(await house.inbox(anna))


async def test_settings_say_what_becomes_of_it(house: House) -> None:
    anna = await house.account()
    with pytest.raises(SmtpReply) as refused:
        await take(house, BERT, FROM_BERT, own_domains="refuse")
    assert (refused.value.code, refused.value.status) == (550, "5.7.1")
    await take(house, BERT, FROM_BERT, own_domains="accept")
    await take(house, BERT, FROM_BERT, forwarder_networks=("192.0.2.0/24",))
    await take(house, BERT, FROM_BERT, relay_networks=("192.0.2.0/24",))
    assert len(await house.inbox(anna)) == 3
    assert await house.inbox(anna, "junk") == []


async def test_lists_believe_no_made_up_member(house: House) -> None:
    await house.account()
    await house.distribution_list("team@here.example", "anna@here.example", posting="members")
    await house.distribution_list("open@here.example", "anna@here.example", posting="anyone")
    async with house.worker(delivers=False, smtp={"own_domains": "mark"}) as worker:
        content = b"From: <anna@here.example>\r\nSubject: x\r\n\r\ny\r\n"
        with pytest.raises(SmtpReply) as refused:
            await worker.acceptance.accept(
                Envelope(ANNA, recipients("team@here.example")), content, house.session()
            )
        assert (refused.value.code, refused.value.status) == (550, "5.7.2")
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("open@here.example")), content, house.session()
        )


async def test_results_with_our_name_are_gone_when_a_mail_is_read(house: House) -> None:
    anna = await house.account()
    async with house.worker(delivers=False) as worker:
        own = worker.acceptance._hostname.encode()
        forged = b"Authentication-Results: " + own + b"; dkim=pass header.d=bank.example\r\n"
        envelope = Envelope(STRANGER, recipients("anna@here.example"))
        await worker.acceptance.accept(envelope, forged + FROM_STRANGER, house.session())
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("anna@here.example")),
            forged + mail("anna@here.example"),
            house.session(anna),
        )
    for got in await house.inbox(anna):
        assert b"bank.example" not in got
