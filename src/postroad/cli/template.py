"""`postroad template …`: what a customer's mails say."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from postroad.campaigns.templates.templates import NewAttachment, Template
from postroad.cli.arguments import DeskArgument
from postroad.cli.desk import Desk, Failed
from postroad.cli.output import Answer, Grid

app = App(name="template", help="Templates of a customer.")

CustomerName: TypeAlias = Annotated[str, Parameter(help="The customer's user name.")]


@app.command
async def add(
    customer: CustomerName,
    name: str,
    html: Annotated[Path, Parameter(help="A file of HTML in UTF-8.")],
    /,
    *,
    subject: Annotated[list[str], Parameter(negative=(), help="One or several, dealt out in turn.")],
    text: Annotated[Path | None, Parameter(help="A file of plain text.")] = None,
    attach: Annotated[list[Path] | None, Parameter(negative=(), help="Files to go with every mail.")] = None,
    desk: DeskArgument,
) -> Answer:
    """Make a template and check it."""
    content, plain = _read(html), "" if text is None else _read(text)
    files = [
        NewAttachment(
            path.name, mimetypes.guess_type(path.name)[0] or "application/octet-stream", _bytes(path)
        )
        for path in attach or []
    ]
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        made = await campaigns.templates.add(owner.id, name, subject, content, plain=plain, attachments=files)
        await campaigns.checks.run_all()
        template = await campaigns.templates.get(owner.id, made)
    return Answer(
        {"template": fields(template)},
        [desk.say("template-added", id=template.id, colour=template.colour), *_findings(desk, template)],
    )


@app.command(name="list")
async def list_templates(customer: CustomerName, /, *, desk: DeskArgument) -> Answer:
    """List the customer's templates by id."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        found = [template async for template in campaigns.templates.each(owner.id)]
    grid = Grid(
        ("id", "name", "colour", "subject"),
        [(one.id, one.name, one.colour, " | ".join(one.subjects)) for one in found],
    )
    return Answer({"templates": [fields(one) for one in found]}, [grid])


@app.command
async def show(customer: CustomerName, template_id: int, /, *, desk: DeskArgument) -> Answer:
    """Show a template and what its check found."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        template = await campaigns.templates.get(owner.id, template_id)
    top = Grid(("field", "value"), [*fields(template).items()])
    data = {**fields(template), "html": template.html, "text": template.plain}
    return Answer({"template": data}, [top, *_findings(desk, template)])


@app.command
async def approve(customer: CustomerName, template_id: int, /, *, desk: DeskArgument) -> Answer:
    """Let a template that its check refused pass all the same."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.templates.approve(owner.id, template_id)
    return Answer({"approved": template_id}, [desk.say("template-approved", id=template_id)])


@app.command
async def remove(customer: CustomerName, template_id: int, /, *, desk: DeskArgument) -> Answer:
    """Remove a template."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.templates.remove(owner.id, template_id)
    return Answer({"removed": template_id}, [desk.say("template-removed", id=template_id)])


def fields(template: Template) -> dict[str, object]:
    """Return a template as JSON has it, without its texts."""
    return {
        "id": template.id,
        "name": template.name,
        "check_state": template.check_state,
        "colour": template.colour,
        "size_bytes": template.size_bytes,
        "subjects": list(template.subjects),
        "attachments": [name for _, name in template.attachments],
        "findings": list(template.findings),
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }


def _findings(desk: Desk, template: Template) -> list[str | Grid]:
    if not template.findings:
        return []
    rows = [(each["level"], each["line"] or "", each["message"]) for each in template.findings]
    return [Grid(("level", "line", "reason"), rows)]


def _read(path: Path) -> str:
    return _bytes(path).decode("utf-8-sig", "replace")


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise Failed("no-file", path=path)
    return path.read_bytes()
