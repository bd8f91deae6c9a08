"""`track.php` and `trackexport.php`: opens and clicks (chapter 3 of the document)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from postroad.bridges.edm.answers import (
    CSV,
    JSON,
    TEXT,
    Answer,
    csv_line,
    document,
    download,
    element,
    elements,
    json_text,
    nest,
    streamed,
    streamed_xml,
)
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.refusals import param_error
from postroad.campaigns.reports.tracking import (
    LinkReport,
    Reader,
    Span,
    TrackedRun,
    TrackingReports,
)

UNKNOWN = "Other "  # a browser or system that nobody knows, as a real server spells it (K.2 of our page)
COLUMNS = (
    *("email_id", "email", "browser", "os", "device", "addr_first", "ip_first", "ip_last", "addr_last"),
    *("open_total", "click_total", "open_first", "open_last", "click_first", "click_last"),
)


class TrackScripts:
    """Answers both scripts."""

    def __init__(self, reports: TrackingReports) -> None:
        self._reports = reports

    def track(self) -> Script:
        """`track.php`, by `do`."""
        return {
            "overview": Handler(self._overview, reads=True),
            "open-detail": Handler(self._opens, reads=True),
            "click-detail": Handler(self._clicks, reads=True),
            "link-stat": Handler(self._links, reads=True),
        }

    def export(self) -> Script:
        """`trackexport.php`."""
        return {"": Handler(self._export, reads=True)}

    async def _overview(self, call: Call) -> Answer:  # 3.1
        run = await self._run(call, more_ids=True)
        found = await self._reports.overview(call.customer.id, run)
        return document(
            nest(
                "track",
                elements(
                    track_id=run.id,
                    task_id=run.task_id,
                    task_sn=run.ident,
                    send_id=run.send_id,
                    send_count=found.sent,
                    real_send_count=found.delivered,
                    error_send_count=found.failed,
                ),
                _span(call, "open", found.opens),
                _span(call, "click", found.clicks),
                element("open_ratio", _percent(found.opens.unique, found.delivered)),
                element("click_ratio", _percent(found.clicks.unique, found.opens.unique)),
                nest("link_statistic", *(_link(call, link) for link in found.links)),
            )
        )

    async def _opens(self, call: Call) -> Answer:  # 3.2
        run = await self._run(call)
        readers = self._reports.readers(call.customer.id, run)
        return await streamed_xml("data", _users(call, readers))

    async def _clicks(self, call: Call) -> Answer:  # 3.3
        run = await self._run(call)
        link_id = call.parameters.integer("link_id")
        if link_id is not None:
            await self._reports.links(call.customer.id, run, link_id)
        return await streamed_xml(
            "data",
            (
                nest(
                    "click",
                    elements(click_id=click.id, email=click.address, link=click.url),
                    _span(call, "click", click.clicks),
                )
                async for click in self._reports.clicks(call.customer.id, run, link_id)
            ),
        )

    async def _links(self, call: Call) -> Answer:  # 3.5
        run = await self._run(call)
        links = await self._reports.links(call.customer.id, run, call.parameters.integer("link_id"))
        return document(nest("data", *(_link(call, link) for link in links)))

    async def _export(self, call: Call) -> Answer:  # 3.4
        parameters = call.parameters
        run = await self._reports.run(call.customer.id, track_id=parameters.need_id("track_id"))
        is_click, link_id = parameters.integer("is_click"), parameters.integer("link_id")
        if is_click not in (None, 0, 1):
            raise param_error("is_click 只能是 0 或 1")
        if link_id is not None:
            await self._reports.links(call.customer.id, run, link_id)
        email_id = parameters.integer("email_id")
        if email_id is not None:
            await self._reports.check_email(call.customer.id, run, email_id)
        readers = self._reports.readers(
            call.customer.id, run, link_id=link_id, email_id=email_id, only_clicked=is_click == 1
        )
        match parameters.get("out_type"):
            case None | "xml":
                return await streamed_xml("data", _users(call, readers))
            case "txt":
                return await streamed((f"{one.address}\n" async for one in readers), media_type=TEXT)
            case "file":
                rows = (csv_line([*_values(call, one).values()]) async for one in readers)
                answer = await streamed(rows, before=csv_line(COLUMNS), media_type=CSV)
                return download(answer, "tracked.csv")
            case "json":
                values = (json_text(_values(call, one)) async for one in readers)
                return await streamed(values, before="[", between=",", after="]", media_type=JSON)
            case _:
                raise param_error("out_type 只能是 txt、file、json 或 xml")

    async def _run(self, call: Call, *, more_ids: bool = False) -> TrackedRun:
        parameters = call.parameters
        send_id, ident = parameters.integer("id"), parameters.get("ident")
        track_id = parameters.integer("track_id") if more_ids else None
        task_id = parameters.integer("task_id") if more_ids else None
        if ident is None and send_id is None and track_id is None and task_id is None:
            raise param_error("id、ident 必须传一个")
        return await self._reports.run(
            call.customer.id, send_id=send_id, ident=ident, track_id=track_id, task_id=task_id
        )


async def _users(call: Call, readers: AsyncIterator[Reader]) -> AsyncIterator[str]:
    async for reader in readers:
        yield nest("user", elements(**_values(call, reader)))


def _values(call: Call, reader: Reader) -> dict[str, str]:
    """A reader's row, in the order of the captured answer (K.2 of our page); nothing is known of places."""
    values = (
        *(str(reader.email_id), reader.address, reader.browser or UNKNOWN, reader.os or UNKNOWN),
        *(reader.device or "pc", "", reader.ip_first, reader.ip_last, ""),
        *(str(reader.opens.total), str(reader.clicks.total)),
        *(call.show(reader.opens.first), call.show(reader.opens.last)),
        *(call.show(reader.clicks.first), call.show(reader.clicks.last)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _span(call: Call, what: str, span: Span) -> str:
    return elements(
        **{
            f"{what}_unique": span.unique,
            f"{what}_total": span.total,
            f"{what}_first": call.show(span.first),
            f"{what}_last": call.show(span.last),
        }
    )


def _link(call: Call, link: LinkReport) -> str:
    return nest("link", elements(link_id=link.id, link=link.url), _span(call, "click", link.clicks))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "0.00%"
