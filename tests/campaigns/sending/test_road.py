"""One road through: a task is added, its mails arrive, and every recipient is accounted for."""

from __future__ import annotations

import base64
import re
from collections import Counter
from datetime import date
from email import message_from_bytes, policy
from email.message import EmailMessage

import dkim

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.reports.figures import Figures
from postroad.campaigns.results.verp import Verp
from postroad.campaigns.tasks.requests import Sender
from postroad.campaigns.tasks.states import State
from postroad.campaigns.tasks.tasks import TaskFilter
from postroad.campaigns.templates.templates import NewAttachment
from postroad.message.sign import SigningKey, dns_record
from tests.campaigns.sending.conftest import Office


def parsed(content: bytes) -> EmailMessage:
    """A mail as Python reads it."""
    return message_from_bytes(content, policy=policy.default)


def part(mail: EmailMessage, kind: str) -> str:
    """A part's text."""
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


async def test_every_recipient_is_accounted_for(office: Office) -> None:
    """Taken, refused, full, greylisted first, unsubscribed since, suppressed, and what is no address."""
    addresses = [f"to{number}@there{number % 7}.example" for number in range(150)]
    addresses += ["unknown@there.example", "closed@there.example", "refused@there.example"]
    addresses += ["greylisted@there.example", "left@there.example", "dead@there.example"]
    customer, task = await office.task(addresses)
    database = office.house.database
    engine = office.engine()
    await database.execute(
        "UPDATE contact SET address = 'no address' WHERE customer_id = $1 AND address = 'to3@there3.example'",
        customer,
    )
    await engine.watch.look()
    assert await office.state(task) is State.SENDING
    await database.execute(
        "INSERT INTO unsubscription (customer_id, list_id, address) VALUES ($1, 0, 'left@there.example')",
        customer,
    )
    await database.execute(
        "INSERT INTO suppression (customer_id, address, failure, reason) "
        "VALUES ($1, 'dead@there.example', 1, 'no such mailbox')",
        customer,
    )
    async with office.worker(engine):
        await office.until_over(engine, task)
    assert await office.states(task) == {(2, 0): 150, (3, 1): 2, (3, 3): 1, (3, 8): 1, (3, 9): 1, (4, 0): 1}
    wanted = set(addresses) - {"to3@there3.example"}
    assert Counter(office.sink.recipients) == Counter(
        each for each in wanted if each.startswith(("to", "greylisted"))
    )
    figures = Figures(delivered=150, cancelled=1, failures={1: 2, 3: 1, 8: 1, 9: 1})
    [told] = await office.house.campaigns.tasks.find(customer, TaskFilter())
    assert (told.state, told.figures, told.selected) == (State.FINISHED, figures, 156)
    assert told.started_at is not None and told.ended_at is not None
    [day] = await office.house.campaigns.statistics.run_days(customer)
    assert (day.figures, type(day.day)) == (figures, date)
    volume = await office.house.campaigns.credits.volume(customer)
    assert (volume.left, volume.bound) == (100_000 - 153, 0), "what was not sent is not paid for"
    [late] = await office.house.campaigns.recipients.of_address(customer, "greylisted@there.example")
    assert (late.state, late.attempts, late.code, late.doubts) == (2, 2, 250, 0)
    [refused] = await office.house.campaigns.recipients.of_address(customer, "unknown@there.example")
    assert refused.code == 550 and "User unknown" in (refused.reply or "")


async def test_what_arrives_is_what_was_written(office: Office) -> None:
    """Values of the person, the way out, an envelope sender of its own, and a signature over all of it."""
    house = office.house
    customer = (await house.customer("lin")).id
    await house.sender(customer)
    template = await house.campaigns.templates.add(
        customer,
        "spring",
        ["{{ name }}，春季优惠", "第二个主题"],
        "<html><head><style>p { color: red } @media (max-width: 600px) { p { color: blue } }</style></head>"
        "<body><p>亲爱的{{ name|default('读者') }}：{{ var1 }}</p>"
        "<table>{% for n in [1, 2] %}<tr><td>{{ n }}</td></tr>"
        '{% endfor %}</table><a href="https://shop.example/sale?who={{ var2 }}&amp;x=1">看</a></body></html>',
        attachments=[NewAttachment("价目表.txt", "text/plain", b"1;2;3\n")],
    )
    await house.campaigns.checks.run_all()
    task = await office.another(
        customer,
        [
            Person("li@there.example", "李 & <雷>\r\nBcc: x@y", variables=("五折 <b>", "a b")),
            Person("mei@there.example"),
        ],
        template=template,
        track=2,
        reply_to="answers@shop.example",
        sender=Sender("all"),
    )
    engine = office.engine()
    async with office.worker(engine):
        await office.until_over(engine, task)
    mails = {each.recipients[0]: each for each in office.sink.mails}
    li, mei = parsed(mails["li@there.example"].content), parsed(mails["mei@there.example"].content)
    assert {li["Subject"], mei["Subject"]} == {"李 & <雷> Bcc: x@y，春季优惠", "第二个主题"}
    assert li["Bcc"] is None and li["To"].addresses[0].addr_spec == "li@there.example"
    html = part(li, "html")
    assert "李 &amp; &lt;雷&gt;" in html and "五折 &lt;b&gt;" in html
    assert 'style="color: red' in html and "@media" in html and html.count("<td>") == 2
    assert "亲爱的读者：</p>" in re.sub(' style="[^"]*"', "", part(mei, "html"))
    assert "https://news.platform.example/t/c/" in html and "https://news.platform.example/t/o/" in html
    assert "shop.example/sale" not in html
    assert "https://news.platform.example/t/u/" in html, "subs_link asks for a link in the text"
    assert "亲爱的" in part(li, "plain") and "/t/u/" in part(li, "plain")
    [attached] = li.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("价目表.txt", "1;2;3\n")
    assert li["Reply-To"] == "answers@shop.example" and li["Precedence"] == "bulk"
    assert li["From"].addresses[0].addr_spec == "news@shop.example"
    assert li["Message-ID"] != mei["Message-ID"] and li["Message-ID"].endswith("@shop.example>")
    assert li["List-ID"] == mei["List-ID"] and li["Feedback-ID"].count(":") == 3
    assert re.fullmatch(
        r"<mailto:b-[a-z2-7]+@bounces\.platform\.example\?subject=unsubscribe>,\s+<https://news\.platform\.example/t/u/[\w-]+>",
        li["List-Unsubscribe"],
    )
    assert li["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    signed = re.sub(r"\s", "", str(li["DKIM-Signature"]))
    assert "list-unsubscribe:list-unsubscribe-post" in signed and "d=shop.example;s=umail" in signed
    pem = await house.database.fetchval("SELECT dkim_key FROM sender_domain WHERE customer_id = $1", customer)
    record = "".join(dns_record(SigningKey.load("shop.example", "umail", pem))).encode()
    for mail in mails.values():
        assert dkim.verify(mail.content, dnsfunc=lambda *_args, **_more: record)
    keys = [
        bytes(row["key"])
        for row in await house.database.fetch("SELECT key FROM sealing_key ORDER BY id DESC")
    ]
    base = await house.database.fetchval("SELECT email_base FROM run WHERE task_id = $1", task)
    numbers = {Verp(keys[0], keys[1:]).read(mail.sender.partition("@")[0]) for mail in mails.values()}
    assert numbers == {base + 1, base + 2}
    for line in mails["li@there.example"].content.split(b"\r\n"):
        assert len(line) <= 998
    assert b"postroad" not in mails["li@there.example"].content.lower()
    assert base64.b64encode(b"1;2;3\n") in mails["li@there.example"].content


async def test_senders_templates_and_subjects_are_dealt_out(office: Office) -> None:
    house = office.house
    customer = (await house.customer("lin")).id
    await house.sender(customer)
    await house.campaigns.mailboxes.add(customer, "more@shop.example", "correct horse 9")
    first, second = (
        await house.template(customer, "one", "First"),
        await house.template(customer, "two", "Second"),
    )
    task = await office.another(
        customer,
        [f"to{number}@there.example" for number in range(8)],
        template_ids=[first, second],
        sender=Sender("domain", "shop.example"),
    )
    engine = office.engine()
    async with office.worker(engine):
        await office.until_over(engine, task)
    dealt = Counter(
        (str(parsed(each.content)["Subject"]), parsed(each.content)["From"].addresses[0].username)
        for each in office.sink.mails
    )
    assert dealt == dict.fromkeys([(s, a) for s in ("First", "Second") for a in ("news", "more")], 2)


async def test_one_bad_render_is_its_own(office: Office) -> None:
    house = office.house
    customer = (await house.customer("lin")).id
    await house.sender(customer)
    # Endless work only for whom var1 says so.
    template = await house.campaigns.templates.add(
        customer,
        "loop",
        ["s"],
        "<p>{% if var1 == 'x' %}{% for a in range(999) %}{% for b in range(999) %}{{ b }}{% endfor %}"
        "{% endfor %}{% endif %}hello there, dear reader</p>",
    )
    await house.campaigns.checks.run_all()
    people = [Person(f"to{number}@there.example") for number in range(5)]
    people.append(Person("bad@there.example", variables=("x",)))
    task = await office.another(customer, people, template=template)
    engine = office.engine()
    async with office.worker(engine):
        await office.until_over(engine, task)
    assert await office.states(task) == {(2, 0): 5, (3, 5): 1}
    assert (await house.campaigns.credits.volume(customer)).left == 100_000 - 5


async def test_a_task_that_cannot_run_says_why(office: Office) -> None:
    customer, task = await office.task(["to@there.example"])
    await office.house.database.execute("UPDATE sender_domain SET is_verified = false")
    engine = office.engine()
    await engine.watch.look()
    [told] = await office.house.campaigns.tasks.find(customer, TaskFilter(task_id=task))
    assert told.state is State.CANNOT_RUN and "mailbox" in told.reason
    assert (await office.house.campaigns.credits.volume(customer)).bound == 0
