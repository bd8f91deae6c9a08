"""`postroad customer …`: who uses the bulk-mail API, what they may send, and from where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from postroad.campaigns.customers import Customer
from postroad.campaigns.principals import principal_of
from postroad.cli.arguments import DeskArgument, Limit, PasswordStdin, page
from postroad.cli.output import Answer, Grid

app = App(name="customer", help="Customers and managers of the bulk-mail API.")

Text = Annotated[str | None, Parameter(help="Shown by account.php.")]


@app.command
async def add(
    username: str,
    /,
    *,
    password_stdin: PasswordStdin = False,
    manager: Annotated[bool, Parameter(negative=(), help="A manager of customers.")] = False,
    managed_by: Annotated[str | None, Parameter(help="The manager whose sub-account it is.")] = None,
    volume: Annotated[int, Parameter(help="How many mails it may send.")] = 0,
    company: str = "",
    desk: DeskArgument,
) -> Answer:
    """Make a customer."""
    password = desk.password(from_stdin=password_stdin)
    async with desk.campaigns() as campaigns:
        above = None if managed_by is None else (await campaigns.customers.get_by_username(managed_by)).id
        customer = await campaigns.accounts.add(
            username, password, is_manager=manager, manager_id=above, volume=volume, company=company
        )
    shown = desk.say("customer-added", id=customer.id, username=customer.username)
    return Answer({"customer": fields(customer)}, [shown])


@app.command(name="list")
async def list_customers(*, after: int = 0, limit: Limit = 100, desk: DeskArgument) -> Answer:
    """List customers by id."""
    async with desk.campaigns() as campaigns:
        customers = await campaigns.customers.list(after, limit)
    more = str(customers[-1].id) if len(customers) >= max(1, min(limit, 1000)) else None
    grid = Grid(
        ("id", "username", "company", "manager", "enabled"),
        [(one.id, one.username, one.company, one.is_manager, one.is_enabled) for one in customers],
    )
    return Answer({"customers": [fields(one) for one in customers], "next": more}, page(desk, grid, more))


@app.command
async def show(username: str, /, *, desk: DeskArgument) -> Answer:
    """Show a customer, its volume, domains and mailboxes."""
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        volume = await campaigns.credits.volume(customer.id)
        domains = [each for each in await campaigns.domains.of(customer.id) if each.customer_id]
        mailboxes = [
            box.address
            for each in domains
            for box in await campaigns.mailboxes.of_domain(customer.id, each.name)
        ]
    data = {
        **fields(customer),
        "volume": {"total": volume.total, "left": volume.left, "bound": volume.bound},
        "domains": [{"name": each.name, "is_verified": each.is_verified} for each in domains],
        "mailboxes": mailboxes,
    }
    rows: list[tuple[str, object]] = [(name, value) for name, value in fields(customer).items()]
    rows += [("left", volume.left), ("domains", ", ".join(each.name for each in domains))]
    rows.append(("mailboxes", ", ".join(mailboxes)))
    return Answer({"customer": data}, [Grid(("field", "value"), rows)])


@app.command(name="set")
async def set_fields(
    username: str,
    /,
    *,
    enabled: Annotated[bool | None, Parameter(help="Whether the service may be used.")] = None,
    service_type: Annotated[Literal["all", "day"] | None, Parameter(help="Volume in all, or by day.")] = None,
    daily_volume: int | None = None,
    mails_per_minute: Annotated[
        int | None, Parameter(help="Of all its tasks together; 0: as receivers allow.")
    ] = None,
    company: Text = None,
    contact: Text = None,
    phone: Text = None,
    mobile: Text = None,
    email: Text = None,
    im: Text = None,
    address: Text = None,
    desk: DeskArgument,
) -> Answer:
    """Change what is given."""
    given: dict[str, Any] = {
        "is_enabled": enabled,
        "service_type": service_type,
        "daily_volume": daily_volume,
        "company": company,
        "contact": contact,
        "phone": phone,
        "mobile": mobile,
        "email": email,
        "im": im,
        "address": address,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if mails_per_minute is not None:
        changes["mails_per_minute"] = mails_per_minute or None
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        customer = await campaigns.customers.update(customer.id, **changes)
    return Answer({"customer": fields(customer)}, [desk.say("customer-changed", username=customer.username)])


@app.command
async def password(username: str, /, *, password_stdin: PasswordStdin = False, desk: DeskArgument) -> Answer:
    """Change a customer's password."""
    new = desk.password(from_stdin=password_stdin)
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        await campaigns.accounts.set_password(customer, new)
    return Answer({"customer": fields(customer)}, [desk.say("customer-password", username=customer.username)])


@app.command
async def volume(
    username: str,
    amount: Annotated[int | None, Parameter(help="So many mails more; below zero takes some away.")] = None,
    /,
    *,
    note: str = "",
    desk: DeskArgument,
) -> Answer:
    """Show a customer's volume, or add to it."""
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        if amount:
            await campaigns.credits.add(customer.id, amount, note)
        found = await campaigns.credits.volume(customer.id)
    data = {"total": found.total, "left": found.left, "bound": found.bound}
    return Answer({"volume": data}, [desk.say("customer-volume", **data)])


@app.command
async def domain(
    username: str,
    name: str,
    /,
    *,
    verified: Annotated[
        bool, Parameter(negative=(), help="Take it for verified without asking the DNS.")
    ] = False,
    remove: Annotated[bool, Parameter(negative=(), help="Remove it and its mailboxes.")] = False,
    warm_up: Annotated[
        bool | None,
        Parameter(negative="--no-warm-up", help="New: 240 mails today, and each day twice as many."),
    ] = None,
    desk: DeskArgument,
) -> Answer:
    """Let a customer send from a domain, check it again, or remove it."""
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        if remove:
            desk.confirm("ask-remove", name=name)
            await campaigns.domains.remove(customer.id, name, by_manager=True)
            return Answer({"removed": name}, [desk.say("customer-domain-removed", domain=name)])
        known = {each.name for each in await campaigns.domains.of(customer.id) if each.customer_id}
        if name.strip().lower() in known:
            [check] = await campaigns.domains.check(customer.id, [name])
        else:
            check = await campaigns.domains.add(customer.id, name)
        if verified:
            await campaigns.domains.vouch(customer.id, name)
        if warm_up is not None:
            zone = desk.settings.edm.timezone
            await campaigns.domains.warm_up(customer.id, name, zone, is_new=warm_up)
        is_verified = verified or check.status == 3
    data = {
        "name": check.name,
        "id": check.domain_id,
        "is_verified": is_verified,
        "spf": check.findings.spf,
        "mx": check.findings.mx,
        "dkim": check.findings.dkim,
    }
    shown = desk.say("customer-domain", domain=check.name, verified=desk.say("yes" if is_verified else "no"))
    return Answer({"domain": data}, [shown])


@app.command
async def mailbox(
    username: str,
    address: str,
    /,
    *,
    password_stdin: PasswordStdin = False,
    remove: Annotated[bool, Parameter(negative=(), help="Remove it.")] = False,
    desk: DeskArgument,
) -> Answer:
    """Add a mailbox to a customer's domain, or give the one there is another password."""
    secret = "" if remove else desk.password(from_stdin=password_stdin)
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        if remove:
            await campaigns.mailboxes.remove(customer.id, address)
            return Answer({"removed": address}, [desk.say("customer-mailbox-removed", address=address)])
        domain_name = address.rpartition("@")[2]
        present = {box.address for box in await campaigns.mailboxes.of_domain(customer.id, domain_name)}
        if address.strip().lower() in present:
            await campaigns.mailboxes.set_password(customer.id, address, secret)
        else:
            await campaigns.mailboxes.add(customer.id, address, secret)
    return Answer({"mailbox": address}, [desk.say("customer-mailbox", address=address)])


def fields(customer: Customer) -> dict[str, object]:
    """Return a customer as JSON has it."""
    return {
        "id": customer.id,
        "username": customer.username,
        "kind": str(principal_of(customer).kind),
        "is_manager": customer.is_manager,
        "manager_id": customer.manager_id,
        "company": customer.company,
        "is_enabled": customer.is_enabled,
        "service_type": customer.service_type,
        "daily_volume": customer.daily_volume,
        "created_at": customer.created_at,
    }
