"""The pages of a worker: the web room's application on its services, and the bridges beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from postroad.api.app import ApiServices, JsonApi
from postroad.bridges.edm.service import EdmApi
from postroad.bridges.jdmail.login_cgi import LoginCgi
from postroad.bridges.oa.login import Login
from postroad.bridges.oa.password import PasswordChange
from postroad.bridges.oa.ticket import TicketSignOn
from postroad.bridges.webmail import Webmail
from postroad.campaigns.principals import CUSTOMERS
from postroad.config import Settings
from postroad.server.parts import Parts
from postroad.web.app import Services, WebApplication, create_app
from postroad.web.public.application import Answered, PublicApplication


def open_pages(settings: Settings, parts: Parts) -> WebApplication:
    """Build the application."""

    apis: list[JsonApi] = []

    def beside(webmail: Webmail) -> Sequence[BaseRoute]:
        oa = settings.oa
        api = open_api(settings, parts, webmail.client)
        apis.append(api)
        return [
            *api.routes(),
            *Login(webmail, parts.sign_in, takes_md5=oa.md5_login).routes(),
            *PasswordChange(webmail, parts.sign_in, parts.accounts, oa.redirect_hosts).routes(),
            *TicketSignOn(webmail, parts.sign_in, parts.tickets, oa.integrations, parts.clock).routes(),
            *LoginCgi(webmail, parts.sign_in).routes(),
            *EdmApi(parts.campaigns, check_customer, settings.edm, parts.clock, webmail.client).routes(),
        ]

    def stop() -> None:
        for api in apis:
            api.stop()

    async def check_customer(username: str, password: str, client: str) -> int:
        principal = await parts.sign_in.check(username, password, client, "api", kinds=CUSTOMERS)
        return principal.id

    return create_app(
        Services(
            accounts=parts.accounts,
            sign_in=parts.sign_in,
            sessions=parts.sessions,
            folders=parts.folders,
            entries=parts.entries,
            messages=parts.messages,
            append=parts.append,
            quota=parts.quota,
            search=parts.search,
            changes=parts.changes,
            people=parts.correspondents,
            submission=parts.transport.submission,
            approvals=parts.oa_sql.approvals,
            standing=parts.standing,
        ),
        settings.web,
        parts.clock,
        beside=beside,
        sign_on_hosts={*settings.oa.redirect_hosts, *settings.oa.sign_on_hosts},
        on_stop=stop,
    )


def open_api(settings: Settings, parts: Parts, client: Callable[[Request], str]) -> JsonApi:
    """Build the JSON API; `client` tells the address a request comes from."""
    return JsonApi(
        ApiServices(
            accounts=parts.accounts,
            sign_in=parts.sign_in,
            tokens=parts.tokens,
            integrations=parts.integrations,
            rates=parts.call_rates,
            answered=parts.answered_calls,
            administration=parts.administration,
            folders=parts.folders,
            entries=parts.entries,
            messages=parts.messages,
            append=parts.append,
            quota=parts.quota,
            search=parts.search,
            changes=parts.changes,
            people=parts.correspondents,
            statistics=parts.mail_statistics,
            submission=parts.transport.submission,
        ),
        settings.api,
        settings.web.max_upload_bytes,
        parts.clock,
        client,
    )


def open_public(settings: Settings, parts: Parts, app: ASGIApp, answered: Answered) -> PublicApplication:
    """Put what readers of campaigns touch in front of `app`; `answered` counts its requests."""
    campaigns = parts.campaigns
    return PublicApplication(
        app,
        keys=campaigns.keys,
        hits=parts.hits,
        targets=campaigns.targets,
        leaving=campaigns.leaving,
        web_versions=campaigns.web_versions,
        trusted_proxies=settings.web.trusted_proxies,
        answered=answered,
    )
