"""The pages of a worker: the web room's application on this worker's services."""

from __future__ import annotations

from postroad.config import Settings
from postroad.server.parts import Parts
from postroad.web.app import Services, WebApplication, create_app


def open_pages(settings: Settings, parts: Parts) -> WebApplication:
    """Build the application."""
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
        ),
        settings.web,
        parts.clock,
    )
