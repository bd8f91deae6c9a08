"""`postroad contact …`: lists of a customer and the contacts in them; files of any size and kind go in."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from postroad.campaigns.contacts.contacts import Contact
from postroad.campaigns.contacts.files.reading import Options
from postroad.campaigns.contacts.files.tables import FIELDS, field_named
from postroad.campaigns.contacts.values import Person, clean, read_address
from postroad.campaigns.errors import MalformedAddress
from postroad.cli.arguments import DeskArgument, Limit
from postroad.cli.desk import Failed
from postroad.cli.output import Answer, Grid
from postroad.cli.progress import progress_bar

app = App(name="contact", help="Contacts of a customer, in lists.")

CustomerName: TypeAlias = Annotated[str, Parameter(help="The customer's user name.")]
ListId: TypeAlias = Annotated[int, Parameter(help="The list's id, as `contact lists` shows it.")]


@app.command
async def lists(customer: CustomerName, /, *, desk: DeskArgument) -> Answer:
    """Show the customer's lists."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        found = await campaigns.lists.list(owner.id)
    grid = Grid(
        ("id", "subject", "contacts", "enabled"),
        [(one.id, one.subject, one.count, one.is_enabled) for one in found],
    )
    data = [
        {"id": one.id, "subject": one.subject, "contacts": one.count, "is_enabled": one.is_enabled}
        for one in found
    ]
    return Answer({"lists": data}, [grid])


@app.command
async def add_list(customer: CustomerName, subject: str, /, *, desk: DeskArgument) -> Answer:
    """Make a list."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        made = await campaigns.lists.add(owner.id, subject)
    return Answer({"list": {"id": made, "subject": subject}}, [desk.say("list-made", id=made)])


@app.command
async def remove_list(customer: CustomerName, list_id: ListId, /, *, desk: DeskArgument) -> Answer:
    """Remove a list and its contacts."""
    desk.confirm("ask-remove", name=list_id)
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.lists.remove(owner.id, list_id)
    return Answer({"removed": list_id}, [desk.say("contact-list-removed", id=list_id)])


@app.command
async def add(
    customer: CustomerName, list_id: ListId, address: str, /, *, name: str = "", desk: DeskArgument
) -> Answer:
    """Add one contact."""
    parsed = read_address(address)
    if parsed is None:
        raise MalformedAddress(address)
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        made = await campaigns.contacts.add(owner.id, list_id, Person(parsed, clean(name)))
    return Answer({"contact": {"id": made, "address": parsed}}, [desk.say("contact-added", id=made)])


@app.command(name="list")
async def list_contacts(
    customer: CustomerName,
    list_id: Annotated[int | None, Parameter(help="Only those of this list.")] = None,
    /,
    *,
    keyword: Annotated[str, Parameter(help="Searched for in address and name.")] = "",
    skip: int = 0,
    limit: Limit = 100,
    desk: DeskArgument,
) -> Answer:
    """List contacts by id."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        total = await campaigns.contacts.count(owner.id, list_id=list_id, keyword=keyword)
        found = await campaigns.contacts.page(
            owner.id, list_id=list_id, keyword=keyword, skip=max(0, skip), limit=max(1, min(limit, 1000))
        )
    grid = Grid(
        ("id", "list", "address", "name"),
        [(one.id, one.list_id, one.person.address, one.person.fullname) for one in found],
    )
    return Answer({"total": total, "contacts": [fields(one) for one in found]}, [grid])


@app.command
async def remove(customer: CustomerName, ids: list[int], /, *, desk: DeskArgument) -> Answer:
    """Remove contacts by their ids."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        count = await campaigns.contacts.remove(owner.id, ids)
    return Answer({"removed": count}, [desk.say("contacts-removed", count=count)])


@app.command
async def empty(customer: CustomerName, list_id: ListId, /, *, desk: DeskArgument) -> Answer:
    """Remove every contact of a list."""
    desk.confirm("ask-remove", name=list_id)
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        count = await campaigns.contacts.empty(owner.id, list_id)
    return Answer({"removed": count}, [desk.say("contacts-removed", count=count)])


@app.command
async def unsubscribe(
    customer: CustomerName, list_id: ListId, addresses: list[str], /, *, desk: DeskArgument
) -> Answer:
    """Take addresses off a list for good."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        count = await campaigns.subscriptions.unsubscribe(owner.id, list_id, addresses, "console")
    return Answer({"unsubscribed": count}, [desk.say("contacts-left", count=count)])


@app.command(name="import")
async def import_file(
    customer: CustomerName,
    list_id: ListId,
    file: Path,
    /,
    *,
    rows: Annotated[
        bool, Parameter(negative=(), help="address;name;sex;… without quotes, as the API takes it.")
    ] = False,
    separator: Annotated[str | None, Parameter(help="Between columns; found out when not given.")] = None,
    column: Annotated[
        list[str] | None,
        Parameter(negative=(), help="FIELD=COLUMN, by heading or number: address=Email, phone=3."),
    ] = None,
    desk: DeskArgument,
) -> Answer:
    """Import a text file, CSV, XLSX or ODS. Everything of it goes in, or nothing."""
    size = _size(file)
    options = Options("rows" if rows else "table", separator, _mapping(column or []))
    with progress_bar(is_json=desk.options.is_json, in_bytes=True) as show:

        def progress(done: int) -> None:
            show(desk.say("importing"), done, size)

        async with desk.campaigns() as campaigns:
            owner = await campaigns.customers.get_by_username(customer)
            job_id = await campaigns.imports.import_file(owner.id, list_id, file, options, progress)
            job = await campaigns.imports.get(owner.id, job_id)
            refused = [
                {"line": each.line, "reason": each.reason, "content": each.content}
                async for each in campaigns.imports.refusals(owner.id, job_id)
            ]
    counts = {
        "id": job.id,
        "total": job.total,
        "added": job.added,
        "repeated": job.repeated,
        "refused": job.refused,
    }
    grid = Grid(
        ("line", "reason", "content"),
        [
            (each["line"], desk.say(f"reason-{each['reason']}"), str(each["content"])[:60])
            for each in refused[:20]
        ],
    )
    return Answer(
        {"import": counts, "refused_lines": refused[:1000]},
        [desk.say("contacts-imported", **counts), *([grid] if refused else [])],
    )


@app.command
async def refused(customer: CustomerName, import_id: int, file: Path, /, *, desk: DeskArgument) -> Answer:
    """Write the lines that an import refused, with reasons, into a CSV file."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        lines = [
            [str(each.line), desk.say(f"reason-{each.reason}"), each.content]
            async for each in campaigns.imports.refusals(owner.id, import_id)
        ]
    await asyncio.to_thread(_write, file, [["line", "reason", "content"], *lines])
    return Answer({"lines": len(lines)}, [desk.say("lines-written", count=len(lines), path=file)])


@app.command
async def export(customer: CustomerName, list_id: ListId, file: Path, /, *, desk: DeskArgument) -> Answer:
    """Write a list into a CSV file that `contact import` takes."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.lists.get(owner.id, list_id)
        lines = [_cells(each.person) async for each in campaigns.contacts.each(owner.id, list_id=list_id)]
    await asyncio.to_thread(_write, file, [list(FIELDS), *lines])
    return Answer({"contacts": len(lines)}, [desk.say("lines-written", count=len(lines), path=file)])


def fields(contact: Contact) -> dict[str, object]:
    """Return a contact as JSON has it."""
    person = contact.person
    return {
        "id": contact.id,
        "list_id": contact.list_id,
        "address": person.address,
        "fullname": person.fullname,
        "sex": person.sex,
        "birthday": person.birthday.isoformat() if person.birthday else None,
        "phone": person.phone,
        "area": person.area,
        "variables": list(person.variables),
        "created_at": contact.created_at,
    }


def _cells(person: Person) -> list[str]:
    birthday = person.birthday.isoformat() if person.birthday else ""
    return [
        person.address,
        person.fullname,
        person.sex,
        birthday,
        person.phone,
        person.area,
        *person.variables,
    ]


def _size(file: Path) -> int:
    if not file.is_file():
        raise Failed("no-file", path=file)
    return file.stat().st_size


def _write(file: Path, rows: list[list[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows(rows)


def _mapping(columns: list[str]) -> dict[str, str]:
    mapping = {}
    for column in columns:
        name, _, where = column.partition("=")
        field = field_named(name)
        if field is None or not where:
            raise Failed("bad-mapping", value=column, fields=", ".join(FIELDS))
        mapping[field] = where
    return mapping
