"""The calls of `mloperate.php` on addresses: one, many, a file of them (4.8 to 4.12 of the document)."""

from __future__ import annotations

from postroad.bridges.edm.answers import (
    Answer,
    cdata,
    document,
    element,
    elements,
    nest,
    result,
    streamed_xml,
)
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.parameters import Parameters
from postroad.bridges.edm.refusals import Refusal, param_error
from postroad.bridges.edm.rows import read_persons
from postroad.campaigns.contacts.contacts import Contact, Contacts
from postroad.campaigns.contacts.imports import ImportJob, Imports
from postroad.campaigns.contacts.lists import ContactLists
from postroad.campaigns.contacts.values import (
    VARIABLES,
    Person,
    clean,
    person,
    read_address,
    read_birthday,
    read_sex,
    read_variables,
)
from postroad.campaigns.errors import NotFound

PAGE_ROWS = 50
VARIABLE_NAMES = tuple(f"var{number}" for number in range(1, VARIABLES + 1))
UPLOAD_PIECE = 1024 * 1024


class AddressCalls:
    """Answers the calls on addresses."""

    def __init__(
        self, lists: ContactLists, contacts: Contacts, imports: Imports, max_import_bytes: int
    ) -> None:
        self._lists = lists
        self._contacts = contacts
        self._imports = imports
        self._max_import_bytes = max_import_bytes

    def calls(self) -> Script:
        """By `do`."""
        return {
            "ml-addr-list": Handler(self._list, reads=True),
            "ml-addr-add": Handler(self._add, writes=True),
            "ml-addr-add-file": Handler(self._add_file, writes=True),
            "ml-addr-add-file-query": Handler(self._query, reads=True),
            "ml-addr-edit": Handler(self._edit, writes=True),
            "ml-addr-del": Handler(self._remove, writes=True),
            "ml-addr-empty": Handler(self._empty, writes=True),
        }

    async def _list(self, call: Call) -> Answer:  # 4.8
        parameters, customer_id = call.parameters, call.customer.id
        address_id, list_id = parameters.integer("address_id"), parameters.integer("list_id")
        if address_id is not None and address_id > 0:
            contact = await self._contacts.get(customer_id, address_id)
            if list_id is not None and contact.list_id != list_id:
                raise NotFound("contact", address_id)
            return document(nest("data", element("total_num", 1), _shown(call, contact)))
        if list_id:
            await self._lists.get(customer_id, list_id)
        keyword, page = parameters.get("keyword") or "", parameters.integer("page")
        skip, limit = 0, None
        if page is not None:
            asked = parameters.integer("limit")
            limit = PAGE_ROWS if asked is None else asked
            if page < 1 or limit < 1:
                raise param_error("page、limit 必须大于 0")
            skip = (page - 1) * limit
        total = await self._contacts.count(customer_id, list_id=list_id, keyword=keyword)
        found = self._contacts.each(
            customer_id, list_id=list_id, keyword=keyword, skip=min(skip, total), limit=limit
        )
        rows = (_shown(call, contact) async for contact in found)
        return await streamed_xml("data", rows, before=element("total_num", total))

    async def _add(self, call: Call) -> Answer:
        if call.parameters.get("ml_addr", "ml_addr[]") is not None:
            return await self._add_many(call)
        return await self._add_one(call)

    async def _add_one(self, call: Call) -> Answer:  # 4.9.1
        parameters = call.parameters
        list_id = parameters.need_id("list_id")
        address = read_address(parameters.need("address"))
        if address is None:
            await self._lists.get(call.customer.id, list_id)
            raise Refusal("address_error", "邮箱地址格式错误")
        added = await self._contacts.add(call.customer.id, list_id, _person(parameters, address))
        return result("success", added if parameters.get("return_id") == "1" else "添加地址成功")

    async def _add_many(self, call: Call) -> Answer:  # 4.9.2
        parameters = call.parameters
        list_id = parameters.need_id("list_id")
        kind = parameters.get("addr_type") or "string"
        if kind == "string":
            persons = read_persons(parameters.need("ml_addr"), parameters.get("separate"))
        elif kind == "array":
            rows = parameters.all("ml_addr[]") or parameters.all("ml_addr")
            persons = [found for row in rows if (found := person(row.split(";"))) is not None]
        else:
            raise param_error("addr_type 只能是 string 或 array")
        added = await self._contacts.add_many(call.customer.id, list_id, persons)
        if not added:
            raise Refusal("address_error", "没有可添加的地址：格式错误或已存在")
        return result("success", len(added))

    async def _add_file(self, call: Call) -> Answer:  # 4.9.3
        parameters = call.parameters
        list_id = parameters.need_id("list_id")
        files = [file for file in parameters.files if file.field == "file"]
        if len(files) != 1 or len(parameters.files) != 1:
            raise param_error("请用 file 字段上传一个文件")
        if files[0].size > self._max_import_bytes:
            raise param_error(f"文件不得超过 {self._max_import_bytes} 字节")
        job = await self._imports.receive(
            call.customer.id, list_id, files[0].name, files[0].pieces(UPLOAD_PIECE)
        )
        return result("success", job, in_cdata=True)

    async def _query(self, call: Call) -> Answer:  # 4.9.4
        try:
            job_id = call.parameters.need_id("id")
        except Refusal as error:
            raise Refusal("error", error.data) from error
        return _progress(await self._imports.get(call.customer.id, job_id))

    async def _edit(self, call: Call) -> Answer:  # 4.10
        parameters = call.parameters
        names = ("address", "fullname", "sex", "birthday", "phone", "area", *VARIABLE_NAMES)
        changes = {name: value for name in names if (value := parameters.get(name)) is not None}
        if "birthday" not in changes and (misspelt := parameters.get("brithday")):
            changes["birthday"] = misspelt
        await self._contacts.edit(call.customer.id, parameters.need_id("id"), changes)
        return result("success", "修改地址成功")

    async def _remove(self, call: Call) -> Answer:  # 4.11
        ids = call.parameters.ids("id")
        if ids is None:
            raise param_error("缺少参数 id")
        count = await self._contacts.remove(call.customer.id, ids)
        if not count:
            raise NotFound("contact", ids[0])
        return result("success", "删除地址成功")

    async def _empty(self, call: Call) -> Answer:  # 4.12
        list_id = call.parameters.need_id("list_id")
        return result("success", await self._contacts.empty(call.customer.id, list_id))


def _person(parameters: Parameters, address: str) -> Person:
    def given(*names: str) -> str:
        return parameters.get(*names) or ""

    return Person(
        address,
        clean(given("fullname")),
        read_sex(given("sex")),
        read_birthday(given("birthday", "brithday")),
        clean(given("phone")),
        clean(given("area")),
        read_variables([given(name) for name in VARIABLE_NAMES]),
    )


def _shown(call: Call, contact: Contact) -> str:
    """A row of 4.8, with the spellings that clients read besides the document's (part L of our page)."""
    who = contact.person
    birthday = who.birthday.isoformat() if who.birthday else ""
    variables = [*who.variables, *[""] * VARIABLES][:VARIABLES]
    return nest(
        "addr",
        elements(id=contact.id, list_id=contact.list_id),
        cdata("address", who.address),
        elements(brithday=birthday, birthday=birthday, sex=who.sex, phone=who.phone),
        cdata("area", who.area),
        cdata("fullname", who.fullname),
        element("time", call.show(contact.created_at)),
        *(element(name, value) for name, value in zip(VARIABLE_NAMES, variables, strict=True)),
    )


def _progress(job: ImportJob) -> Answer:
    if job.state == "failed":
        return result("error", f"文件无法解析：{job.error}", in_cdata=True)
    if job.state != "done":
        return result("no_complete", "正在解析", in_cdata=True)
    sentence = f"解析完成：添加 {job.added}，重复 {job.repeated}，无效 {job.refused}"
    return result("success", sentence, in_cdata=True)
