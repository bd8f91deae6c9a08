"""`mloperate.php`: contact categories and what is done to them (chapter 4 of the document)."""

from __future__ import annotations

from postroad.bridges.edm.answers import TEXT, Answer, document, elements, nest, result, streamed
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.refusals import Refusal
from postroad.bridges.edm.rows import read_addresses, read_subscribers
from postroad.campaigns.contacts.contacts import Contacts
from postroad.campaigns.contacts.lists import ContactList, ContactLists
from postroad.campaigns.contacts.subscriptions import Subscriber, Subscriptions
from postroad.campaigns.contacts.values import read_address
from postroad.campaigns.errors import BadInput, InUse, NotFound

STATUS = {"enabled": True, "disabled": False}


class MlOperateScript:
    """Answers `mloperate.php`, but for the calls on single addresses (`addresses.py`)."""

    def __init__(self, lists: ContactLists, contacts: Contacts, subscriptions: Subscriptions) -> None:
        self._lists = lists
        self._contacts = contacts
        self._subscriptions = subscriptions

    def calls(self) -> Script:
        """By `do`."""
        return {
            "maillist-list": Handler(self._list, reads=True),
            "maillist-detail": Handler(self._detail, reads=True),
            "maillist-add": Handler(self._add, writes=True),
            "maillist-edit": Handler(self._edit, writes=True),
            "maillist-del": Handler(self._remove, writes=True),
            "subscription-export": Handler(self._export, reads=True),
            "unsubscribe-export": Handler(self._export_left, reads=True),
            "ml-sub": Handler(self._subscribe, writes=True),
            "ml-unsub": Handler(self._unsubscribe, writes=True),
        }

    async def _list(self, call: Call) -> Answer:  # 4.1
        lists = await self._lists.list(call.customer.id)
        return document(nest("maillist", *(nest("item", _shown(each)) for each in lists)))

    async def _detail(self, call: Call) -> Answer:  # 4.2
        return document(
            nest("maillist", _shown(await self._lists.get(call.customer.id, call.parameters.need_id("id"))))
        )

    async def _add(self, call: Call) -> Answer:  # 4.3
        subject, status = call.parameters.get("subject"), call.parameters.get("status")
        if subject is None:
            raise Refusal("add_maillist_error", "缺少参数 subject")
        if status not in STATUS:
            raise Refusal("add_maillist_error", "status 只能是 enabled 或 disabled")
        try:
            list_id = await self._lists.add(
                call.customer.id,
                subject,
                description=call.parameters.get("description") or "",
                is_enabled=STATUS[status],
            )
        except BadInput as error:
            raise Refusal("add_maillist_error", "分类名称不能为空或过长") from error
        return result("success", list_id)

    async def _edit(self, call: Call) -> Answer:  # 4.4
        parameters = call.parameters
        list_id = _own_id(call, "update_maillist_error")
        status = parameters.get("status")
        if status is not None and status not in STATUS:
            raise Refusal("update_maillist_error", "status 只能是 enabled 或 disabled")
        try:
            await self._lists.edit(
                call.customer.id,
                list_id,
                subject=parameters.get("subject"),
                description=parameters.get("description"),
                is_enabled=STATUS[status] if status else None,
            )
        except BadInput as error:
            raise Refusal("update_maillist_error", "分类名称不能为空或过长") from error
        return result("success", "修改联系人分类成功")

    async def _remove(self, call: Call) -> Answer:  # 4.5
        try:
            await self._lists.remove(call.customer.id, _own_id(call, "delete_maillist_error"))
        except InUse as error:
            raise Refusal("delete_maillist_error", "联系人分类正被未完成的任务使用") from error
        return result("success", "删除联系人分类成功")

    async def _export(self, call: Call) -> Answer:  # 4.6
        found = await self._lists.get(call.customer.id, call.parameters.need_id("id"))
        contacts = self._contacts.each(call.customer.id, list_id=found.id, without_unsubscribed=True)
        return await streamed(
            (f"{each.person.address}\t{_one_line(each.person.fullname)}\n" async for each in contacts),
            media_type=TEXT,
        )

    async def _export_left(self, call: Call) -> Answer:  # 4.7
        left = self._subscriptions.left(call.customer.id, call.parameters.need_id("id"))
        return await streamed(
            (f"{call.show(each.left_at)}\t{each.address}\n" async for each in left), media_type=TEXT
        )

    async def _subscribe(self, call: Call) -> Answer:  # 4.13
        parameters = call.parameters
        list_id = parameters.need_id("list_id")
        many = parameters.get("maillist")
        if many is not None:
            subscribers = read_subscribers(many)
        else:
            address = read_address(parameters.need("address"))
            subscribers = [] if address is None else [Subscriber(address, parameters.get("name"))]
        if not subscribers:
            await self._lists.get(call.customer.id, list_id)
            raise Refusal("address_error", "没有正确的邮箱地址")
        return result("success", await self._subscriptions.subscribe(call.customer.id, list_id, subscribers))

    async def _unsubscribe(self, call: Call) -> Answer:  # 4.14
        list_id = call.parameters.need_id("list_id")
        addresses = read_addresses(call.parameters.need("address"))
        count = await self._subscriptions.unsubscribe(call.customer.id, list_id, addresses)
        if not count:
            raise NotFound("contact", "")
        return result("success", count)


def _own_id(call: Call, status: str) -> int:
    """The id of 4.4 and 4.5, whose parameter faults have identifiers of their own."""
    try:
        return call.parameters.need_id("id")
    except Refusal as error:
        raise Refusal(status, error.data) from error


def _shown(found: ContactList) -> str:
    return elements(
        id=found.id,
        subject=found.subject,
        description=found.description,
        count=found.count,
        status="enabled" if found.is_enabled else "disabled",
    )


def _one_line(text: str) -> str:
    return text.translate({ord("\t"): " ", ord("\r"): " ", ord("\n"): " "})
