"""`template.php`: templates and their attachments (chapter 5 of the document, without 5.1)."""

from __future__ import annotations

import re
from typing import cast

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
from postroad.bridges.edm.refusals import param_error
from postroad.campaigns.templates.templates import Encoding, NewAttachment, Template, Templates

ENCODINGS = ("base64", "quoted-printable")
# `|` divides subjects, but not where it calls a filter: {{ name|default('you') }}.
_SUBJECT = re.compile(r"((?:\{\{.*?\}\}|\{%.*?%\}|[^|])*)(?:\||\Z)", re.DOTALL)
_FILE_FIELDS = ("file", "file[]")


class TemplateScript:
    """Answers `template.php`."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def calls(self) -> Script:
        """By `do`."""
        return {
            "add-tpl": Handler(self._add, writes=True),
            "get-tpl-status": Handler(self._status, reads=True),
            "list-tpl": Handler(self._list, reads=True),
            "del-tpl": Handler(self._remove, writes=True),
            "edit-tpl": Handler(self._edit, writes=True),
            "tpl-attachment-add": Handler(self._attach, writes=True),
            "tpl-attachment-del": Handler(self._detach, writes=True),
        }

    async def _add(self, call: Call) -> Answer:  # 5.2
        parameters = call.parameters
        template_id = await self._templates.add(
            call.customer.id,
            parameters.need("name"),
            split_subjects(parameters.need("subject")),
            parameters.need("content"),
            plain=parameters.get("text_content") or "",
            encoding=_encoding(parameters) or "base64",
            attachments=_files(parameters),
        )
        return result("success", template_id)

    async def _status(self, call: Call) -> Answer:  # 5.3
        template = await self._templates.get(call.customer.id, call.parameters.need_id("tpl_id"))
        size = template.size_bytes
        return document(
            nest(
                "template",
                elements(
                    id=template.id,
                    name=template.name,
                    status=template.check_state,
                    colour=template.colour,
                    update_date=call.show(template.updated_at),
                    size_status=-1 if size is None else 1,
                    size=0 if size is None else -(-size // 1024),
                    subject="|".join(template.subjects),
                ),
            )
        )

    async def _list(self, call: Call) -> Answer:  # 5.4
        template_id = call.parameters.integer("tpl_id")
        if template_id is not None:
            template = await self._templates.get(call.customer.id, template_id)
            return document(nest("template_list", _shown(call, template)))
        templates = self._templates.each(call.customer.id)
        return await streamed_xml("template_list", (_shown(call, each) async for each in templates))

    async def _remove(self, call: Call) -> Answer:  # 5.5
        await self._templates.remove(call.customer.id, call.parameters.need_id("tpl_id"))
        return result("success", "删除模板成功")

    async def _edit(self, call: Call) -> Answer:  # 5.6
        parameters = call.parameters
        template_id = parameters.need_id("tpl_id")
        name, subject, content = (parameters.get(each) for each in ("name", "subject", "content"))
        if name is None and subject is None and content is None:
            raise param_error("name、subject、content 必须至少有一个")
        await self._templates.edit(
            call.customer.id,
            template_id,
            name=name,
            subjects=None if subject is None else split_subjects(subject),
            html=content,
            plain=parameters.get("text_content"),
            encoding=_encoding(parameters),
        )
        return result("success", "修改模板成功")

    async def _attach(self, call: Call) -> Answer:  # 5.7
        template_id = call.parameters.need_id("tpl_id")
        files = _files(call.parameters)
        if not files:
            await self._templates.get(call.customer.id, template_id)
            raise param_error("请用 file 或 file[] 字段上传附件")
        ids = await self._templates.attach(call.customer.id, template_id, files)
        return result("success", ",".join(map(str, ids)))

    async def _detach(self, call: Call) -> Answer:  # 5.8
        parameters = call.parameters
        template_id = parameters.need_id("tpl_id")
        which = parameters.get("attachment_id", "atta_id") or "all"
        ids = None if which.lower() == "all" else parameters.ids("attachment_id", "atta_id")
        await self._templates.detach(call.customer.id, template_id, ids)
        return result("success", "删除附件成功")


def split_subjects(text: str) -> list[str]:
    """Several subjects joined with `|`; blanks around are cut, empty pieces dropped."""
    return [piece for match in _SUBJECT.finditer(text) if (piece := match[1].strip())]


def _encoding(parameters: Parameters) -> Encoding | None:
    encoding = parameters.get("encoding")
    if encoding is None:
        return None
    if encoding.lower() not in ENCODINGS:
        raise param_error("encoding 只能是 base64 或 quoted-printable")
    return cast(Encoding, encoding.lower())


def _files(parameters: Parameters) -> list[NewAttachment]:
    return [
        NewAttachment(file.name, file.content_type, file.read())
        for file in parameters.files
        if file.field in _FILE_FIELDS
    ]


def _shown(call: Call, template: Template) -> str:
    subjects = (
        nest("subject", element("id", id), cdata("name", subject))
        for id, subject in zip(template.subject_ids, template.subjects, strict=True)
    )
    attachments = (
        nest("attachment", elements(atta_id=id, atta_name=name)) for id, name in template.attachments
    )
    return nest(
        "template",
        elements(id=template.id, user_id=template.customer_id),
        cdata("name", template.name),
        *subjects,
        cdata("content", template.html),
        element("content_type", template.content_type),
        nest("attachments", *attachments),
        elements(created=call.show(template.created_at), updated=call.show(template.updated_at)),
    )
