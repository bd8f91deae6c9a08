"""`statistic.php`, `stask.php` and `deduction.php`: figures of days and runs (2.2, 2.4, 2.5)."""

from __future__ import annotations

from postroad.bridges.edm.answers import Answer, document, elements, nest
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.dates import read_day
from postroad.bridges.edm.refusals import param_error
from postroad.campaigns.reports.figures import NOT_EXIST, OVER_QUOTA, RUBBISH, USER_REJECT
from postroad.campaigns.reports.statistics import Statistics, planned_invalid

KINDS = ("web", "smtp")


class StatisticScripts:
    """Answers the three scripts."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def statistic(self) -> Script:
        """`statistic.php`."""
        return {"": Handler(self._day, reads=True)}

    def stask(self) -> Script:
        """`stask.php`."""
        return {"": Handler(self._runs, reads=True)}

    def deduction(self) -> Script:
        """`deduction.php`."""
        return {"": Handler(self._deduction, reads=True)}

    async def _day(self, call: Call) -> Answer:  # 2.2
        day = read_day(call.parameters.need("date"))
        overview = await self._statistics.day(call.customer.id, day)
        invalid, malformed = planned_invalid(overview)
        expected = overview.planned - invalid - malformed
        return document(
            nest(
                "statistic",
                elements(
                    date=day.isoformat(),
                    ws_qty=overview.planned,
                    ws_error=invalid + malformed,
                    ws_count=overview.planned_figures.sent,
                    invalid_addr=invalid,
                    format_error=malformed,
                    send_count=expected,
                    deduc_count=expected,
                    actual_send=overview.sent.sent,
                    send_error=overview.sent.failed,
                    actual_deduc=overview.sent.points,
                ),
            )
        )

    async def _runs(self, call: Call) -> Answer:  # 2.4
        date, ident = call.parameters.get("date"), call.parameters.get("ident")
        task_id = call.parameters.integer("id")
        if date is None and ident is None and task_id is None:
            raise param_error("date、ident、id 必须传一个")
        runs = await self._statistics.run_days(
            call.customer.id,
            day=read_day(date) if date else None,
            ident=ident,
            task_id=task_id,
            kind="web",
        )
        return document(
            nest(
                "data",
                *(
                    nest(
                        "task",
                        elements(
                            task_id=run.id,
                            task_date=run.day.isoformat(),
                            task_ident=run.ident,
                            totalsum=run.figures.total,
                            total=run.figures.sent,
                            invalid=run.figures.invalid,
                            failed=run.figures.failed,
                            success=run.figures.delivered,
                            email_not_exist=run.figures.failures.get(NOT_EXIST, 0),
                            actual=run.figures.points,
                            over_quota=run.figures.failures.get(OVER_QUOTA, 0),
                            user_reject=run.figures.failures.get(USER_REJECT, 0),
                            rubbish=run.figures.failures.get(RUBBISH, 0),
                        ),
                    )
                    for run in runs
                ),
            )
        )

    async def _deduction(self, call: Call) -> Answer:  # 2.5
        day = read_day(call.parameters.need("date"))
        runs = await self._statistics.run_days(call.customer.id, day=day)
        rows = []
        for kind in KINDS:
            figures = [run.figures for run in runs if run.kind == kind]
            sent = sum(each.sent for each in figures)
            if sent:
                rows.append(
                    nest(
                        "list",
                        elements(
                            date=day.isoformat(),
                            company=call.customer.company,
                            deduction=kind,
                            send_num=sent,
                            total=sum(each.points for each in figures),
                        ),
                    )
                )
        return document(nest("data", *rows))
