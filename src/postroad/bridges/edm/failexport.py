"""`failexport.php` and `failexportall.php`: addresses that nothing was delivered to (2.3 of the document)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta

from postroad.bridges.edm.answers import (
    CSV,
    JSON,
    TEXT,
    Answer,
    csv_line,
    download,
    elements,
    json_text,
    nest,
    streamed,
    streamed_xml,
)
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.dates import read_padded_day
from postroad.bridges.edm.refusals import param_error
from postroad.campaigns.reports.figures import (
    INVALID,
    MALFORMED,
    NOT_EXIST,
    OVER_QUOTA,
    RUBBISH,
    USER_REJECT,
)
from postroad.campaigns.reports.statistics import Failed, Statistics

MOST_DAYS = 31
NAMES = {
    NOT_EXIST: "邮箱不存在",
    OVER_QUOTA: "邮箱空间满",
    USER_REJECT: "用户拒收",
    RUBBISH: "系统判定为垃圾邮件拒发",
    INVALID: "无效地址",
    MALFORMED: "格式错误",
}
_ALL = tuple(NAMES)
# Part C.1 of our page: the number or the name.
TYPES: dict[str, tuple[int, ...]] = {
    "all": _ALL,
    "-1": _ALL,
    "not_exist": (NOT_EXIST,),
    "over_quota": (OVER_QUOTA,),
    "user_reject": (USER_REJECT,),
    "rubbish": (RUBBISH,),
    "invalid_addr": (INVALID,),
    "format_error": (MALFORMED,),
    **{str(number): (number,) for number in NAMES},
}
ROOT, ROW = "fail_recipient_list", "recipient"


class FailExportScripts:
    """Answers both scripts."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def addresses(self) -> Script:
        """`failexport.php`."""
        return {"": Handler(self._addresses, reads=True)}

    def everything(self) -> Script:
        """`failexportall.php`."""
        return {"": Handler(self._everything, reads=True)}

    async def _addresses(self, call: Call) -> Answer:  # 2.3.1
        failed = await self._failed(call)
        match call.parameters.get("out_type"):
            case None:
                return await streamed(_lines(failed), media_type=TEXT)
            case "file":
                rows = (csv_line([one.address]) async for one in failed)
                answer = await streamed(rows, before="email\r\n", media_type=CSV)
                return download(answer, "failed.csv")
            case "json":
                rows = (json_text(one.address) async for one in failed)
                return await streamed(rows, before="[", between=",", after="]", media_type=JSON)
            case "xml":
                return await streamed_xml(
                    ROOT,
                    (
                        nest(
                            ROW,
                            elements(
                                email=one.address,
                                error_type=one.failure,
                                error_type_dec=NAMES.get(one.failure, ""),
                            ),
                        )
                        async for one in failed
                    ),
                )
            case _:
                raise param_error("out_type 只能是 file、json 或 xml")

    async def _everything(self, call: Call) -> Answer:  # 2.3.2
        failed = await self._failed(call)
        match call.parameters.get("out_type"):
            case None:
                return await streamed(_lines(failed), media_type=TEXT)
            case "file":
                rows = (
                    csv_line([one.address, str(one.failure), str(one.run_day_id)]) async for one in failed
                )
                answer = await streamed(rows, before="email,type,task_id\r\n", media_type=CSV)
                return download(answer, "failed.csv")
            case "json":
                rows = (
                    json_text(
                        {"email": one.address, "type": str(one.failure), "task_id": str(one.run_day_id)}
                    )
                    async for one in failed
                )
                return await streamed(rows, before="[", between=",", after="]", media_type=JSON)
            case "xml":
                return await streamed_xml(
                    ROOT,
                    (
                        nest(ROW, elements(email=one.address, type=one.failure, task_id=one.run_day_id))
                        async for one in failed
                    ),
                )
            case _:
                raise param_error("out_type 只能是 file、json 或 xml")

    async def _failed(self, call: Call) -> AsyncIterator[Failed]:
        parameters = call.parameters
        first = read_padded_day(parameters.need("date"))
        last = _last_day(first, parameters.get("date_end"))
        failures = TYPES.get(parameters.need("type").strip())
        if failures is None:
            raise param_error("type 不正确")
        run_day_id, ident = parameters.integer("task_id"), parameters.get("task_ident", "ident")
        if run_day_id is not None:
            await self._statistics.check_run_day(call.customer.id, run_day_id)
        if ident is not None:
            await self._statistics.run_of(call.customer.id, ident=ident)
        return self._statistics.failed(
            call.customer.id, first, last, failures, run_day_id=run_day_id, ident=ident
        )


def _last_day(first: date, text: str | None) -> date:
    if text is None:
        return first
    last = read_padded_day(text)
    if not first <= last < first + timedelta(days=MOST_DAYS):
        raise param_error(f"date_end 不得早于 date，最多 {MOST_DAYS} 天")
    return last


async def _lines(failed: AsyncIterator[Failed]) -> AsyncIterator[str]:
    async for one in failed:
        yield f"{one.address}\n"
