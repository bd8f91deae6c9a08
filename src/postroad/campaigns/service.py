"""The campaign platform put together: every service of it on one database."""

from __future__ import annotations

from dataclasses import dataclass

from postroad.campaigns.contacts.contacts import Contacts
from postroad.campaigns.contacts.imports import Imports
from postroad.campaigns.contacts.lists import ContactLists
from postroad.campaigns.contacts.subscriptions import Subscriptions
from postroad.campaigns.credits import Credits
from postroad.campaigns.customers import Customers
from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.limits import CallLimits
from postroad.campaigns.principals import CustomerAccounts, MailboxCredentials
from postroad.campaigns.reports.figures import RunFigures
from postroad.campaigns.reports.recipients import Recipients
from postroad.campaigns.reports.statistics import Statistics
from postroad.campaigns.reports.tracking import TrackingReports
from postroad.campaigns.results.returns import Returns
from postroad.campaigns.results.rules import ReplyRules, SuppressionRules
from postroad.campaigns.results.suppressing import Suppressions
from postroad.campaigns.senders.domains import Questions, SenderDomains
from postroad.campaigns.senders.mailboxes import SenderMailboxes
from postroad.campaigns.tasks.orders import NOBODY, Orders
from postroad.campaigns.tasks.tasks import Tasks
from postroad.campaigns.templates.checks import TemplateChecks
from postroad.campaigns.templates.templates import Templates
from postroad.campaigns.tracking.leaving import Leaving
from postroad.campaigns.tracking.targets import Targets
from postroad.campaigns.tracking.web_versions import WebVersions
from postroad.config import Edm
from postroad.db.pool import Database
from postroad.directory.passwords import PasswordHashing


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The services. `checks.run`, `imports.run` and `returns.run` go on beside the work."""

    keys: SealingKeys
    customers: Customers
    accounts: CustomerAccounts
    credits: Credits
    limits: CallLimits
    lists: ContactLists
    contacts: Contacts
    subscriptions: Subscriptions
    imports: Imports
    templates: Templates
    checks: TemplateChecks
    tasks: Tasks
    figures: RunFigures
    statistics: Statistics
    tracking: TrackingReports
    recipients: Recipients
    targets: Targets
    leaving: Leaving
    web_versions: WebVersions
    reply_rules: ReplyRules
    suppression_rules: SuppressionRules
    suppressions: Suppressions
    returns: Returns
    domains: SenderDomains
    mailboxes: SenderMailboxes


def open_campaigns(
    database: Database,
    hashing: PasswordHashing,
    questions: Questions,
    settings: Edm,
    hostname: str,
    orders: Orders = NOBODY,
) -> Campaigns:
    """Build the services. `hostname` stands where the settings name no host; `orders` reach the engine."""
    customers, figures = Customers(database), RunFigures(database)
    credits = Credits(database, settings.timezone)
    checks = TemplateChecks(database)
    keys = SealingKeys(database)
    reply_rules = ReplyRules(database)
    return Campaigns(
        keys=keys,
        customers=customers,
        accounts=CustomerAccounts(database, customers, hashing),
        credits=credits,
        limits=CallLimits(database),
        lists=ContactLists(database),
        contacts=Contacts(database),
        subscriptions=Subscriptions(database),
        imports=Imports(database),
        templates=Templates(database, checks.wake),
        checks=checks,
        tasks=Tasks(database, credits, figures, settings.timezone, orders),
        figures=figures,
        statistics=Statistics(database, figures, settings.timezone),
        tracking=TrackingReports(database, figures),
        recipients=Recipients(database),
        targets=Targets(database),
        leaving=Leaving(database),
        web_versions=WebVersions(database, keys, settings.tracking_url or f"https://{hostname}"),
        reply_rules=reply_rules,
        suppression_rules=SuppressionRules(database),
        suppressions=Suppressions(database),
        returns=Returns(database, keys, reply_rules, (settings.bounce_domain or hostname).lower()),
        domains=SenderDomains(
            database,
            questions,
            spf_name=settings.spf_name or hostname,
            mx_host=settings.mx_host or hostname,
        ),
        mailboxes=SenderMailboxes(database, MailboxCredentials(hashing)),
    )
