"""`bs.php`: domains and the mailboxes in them (chapter 7 of the document)."""

from __future__ import annotations

import re

from postroad.bridges.edm.answers import Answer, document, elements, nest, result
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.refusals import param_error
from postroad.campaigns.customers import Customer, Customers
from postroad.campaigns.errors import NotAllowed
from postroad.campaigns.senders.domains import DomainCheck, SenderDomains
from postroad.campaigns.senders.mailboxes import SenderMailboxes

PAGE_ROWS = 30
INFO = {
    3: "添加成功并验证通过",
    2: "添加成功但验证不通过",
    1: "系统不存在但验证通过",
    0: "系统不存在并验证不通过",
}


class BsScript:
    """Answers `bs.php`."""

    def __init__(self, customers: Customers, domains: SenderDomains, mailboxes: SenderMailboxes) -> None:
        self._customers = customers
        self._domains = domains
        self._mailboxes = mailboxes

    def calls(self) -> Script:
        """By `do`."""
        return {
            "domain-list": Handler(self._list_domains, reads=True),
            "customer-domain-add": Handler(self._add_own),
            "domain-check": Handler(self._check),
            "domain-add": Handler(self._add_for),
            "domain-del": Handler(self._remove_for),
            "customer-domain-del": Handler(self._remove_own),
            "mailbox-list": Handler(self._list_mailboxes, reads=True),
            "mailbox-add": Handler(self._add_mailbox),
            "mailbox-del": Handler(self._remove_mailbox),
            "mailbox-edit": Handler(self._change_mailbox),
        }

    async def _list_domains(self, call: Call) -> Answer:  # 7.1
        customer = await self._acted_for(call)
        domains = await self._domains.of(customer.id)
        return document(
            nest(
                "domain_list",
                *(nest("data", elements(customer_id=each.customer_id, domain=each.name)) for each in domains),
            )
        )

    async def _add_own(self, call: Call) -> Answer:  # 7.2
        return _added(await self._domains.add(call.customer.id, call.parameters.need("domain")))

    async def _check(self, call: Call) -> Answer:  # 7.3
        names = [name for name in re.split(r"[,，\s]+", call.parameters.need("domains")) if name]
        checks = await self._domains.check(call.customer.id, names)
        return document(
            nest(
                "domain_list",
                *(
                    nest(
                        "domain",
                        elements(
                            customer_id=call.customer.id,
                            domain_id=check.domain_id,
                            val=check.name,
                            status=check.status,
                            info=_info(check),
                        ),
                    )
                    for check in checks
                ),
            )
        )

    async def _add_for(self, call: Call) -> Answer:  # 7.4
        customer = await self._managed(call)
        return _added(await self._domains.add(customer.id, call.parameters.need("domain")))

    async def _remove_for(self, call: Call) -> Answer:  # 7.5
        customer = await self._managed(call)
        await self._domains.remove(customer.id, call.parameters.need("domain"), by_manager=True)
        return result("success", "删除域名成功")

    async def _remove_own(self, call: Call) -> Answer:  # 7.6
        await self._domains.remove(call.customer.id, call.parameters.need("domain"))
        return result("success", "删除域名成功")

    async def _list_mailboxes(self, call: Call) -> Answer:  # 7.7
        customer = await self._acted_for(call)
        parameters = call.parameters
        domain, page, limit = parameters.need("domain"), parameters.integer("page"), PAGE_ROWS
        if page is None:
            found = await self._mailboxes.of_domain(customer.id, domain)
        else:
            limit = parameters.integer("limit") or PAGE_ROWS
            if page < 1 or limit < 1:
                raise param_error("page、limit 必须大于 0")
            skip = min((page - 1) * limit, 2**62)
            found = await self._mailboxes.of_domain(customer.id, domain, skip=skip, limit=limit)
        return document(
            nest(
                "mailbox_list",
                *(
                    nest(
                        "data",
                        elements(
                            customer_id=customer.id,
                            domain=each.domain,
                            name=each.local_part,
                            mailbox=each.address,
                        ),
                    )
                    for each in found
                ),
            )
        )

    async def _add_mailbox(self, call: Call) -> Answer:  # 7.8
        customer = await self._acted_for(call)
        mailbox, password = call.parameters.need("mailbox"), call.parameters.need("pwd")
        await self._mailboxes.add(customer.id, mailbox, password)
        return result("success", "添加账号成功")

    async def _remove_mailbox(self, call: Call) -> Answer:  # 7.9
        customer = await self._acted_for(call)
        await self._mailboxes.remove(customer.id, call.parameters.need("mailbox"))
        return result("success", "删除账号成功")

    async def _change_mailbox(self, call: Call) -> Answer:  # 7.10
        customer = await self._acted_for(call)
        mailbox, password = call.parameters.need("mailbox"), call.parameters.need("pwd")
        await self._mailboxes.set_password(customer.id, mailbox, password)
        return result("success", "修改账号成功")

    async def _acted_for(self, call: Call) -> Customer:
        """The three-part rule of 7.1: with `user_type=manager` a manager names its customer."""
        kind = call.parameters.get("user_type") or "customer"
        if kind == "customer":
            return call.customer
        if kind != "manager":
            raise param_error("user_type 只能是 manager 或 customer")
        return await self._managed(call)

    async def _managed(self, call: Call) -> Customer:
        if not call.customer.is_manager:
            raise NotAllowed("only a manager may do that")
        return await self._customers.managed_by(call.customer, call.parameters.need_id("customer_id"))


def _added(check: DomainCheck) -> Answer:
    return result("success_and_check_ok" if check.status == 3 else "success", check.domain_id)


def _info(check: DomainCheck) -> str:
    """The document's words; what a domain of the customer's still lacks stands behind them."""
    records = (("SPF", check.findings.spf), ("MX", check.findings.mx))
    missing = "、".join(word for word, is_there in records if not is_there)
    return INFO[check.status] + (f"（{missing}）" if missing and check.status == 2 else "")
