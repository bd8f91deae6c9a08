"""Why a call is refused: identifiers of the document and of part A.5 of our page, with a Chinese sentence.

Services say what is wrong by type; here it becomes a status. Calls with identifiers of their own (4.3 to 4.5)
name theirs.
"""

from __future__ import annotations

from postroad.campaigns import errors
from postroad.directory.errors import WeakPassword


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: str, data: str) -> None:
        super().__init__(status)
        self.status = status
        self.data = data


def param_error(data: str) -> Refusal:
    """A parameter is missing or cannot be read."""
    return Refusal("param_error", data)


NOT_EXIST = {
    "list": "联系人分类不存在",
    "contact": "地址不存在",
    "template": "模板不存在",
    "attachment": "附件不存在",
    "task": "任务不存在",
    "run": "任务不存在",
    "link": "链接不存在",
    "recipient": "邮箱不存在",
    "domain": "域名不存在",
    "mailbox": "账号不存在",
    "customer": "客户不存在",
    "import": "导入任务不存在",
}
ALREADY = {
    "contact": ("address_exist", "该地址已在此分类中"),
    "domain": ("domain_exist", "域名已存在"),
    "mailbox": ("mailbox_exist", "账号已存在"),
}
FIELDS = {
    "subject": "主题不能为空或过长",
    "name": "名称不能为空或过长",
    "file": "附件过大或过多",
    "content": "邮件内容不正确",
    "send_qty_start": "发送范围开始值必须大于等于 1",
    "send_qty": "发送范围不正确",
    "status": "发送状态只能是 1、-1 或 2",
    "track_status": "跟踪状态只能是 0、1 或 2",
    "time": "必须指定发送时间",
    "maillist_id": "没有可发送的地址",
    "send_fullname": "发件人名称不正确",
    "send_replyto": "回复地址不正确",
    "track_domain": "跟踪域名不正确",
    "domain": "域名格式不正确",
    "domains": "域名列表不正确",
    "mailbox": "账号格式不正确",
}


def refusal_of(error: errors.CampaignError | WeakPassword) -> Refusal:
    """The answer to what a service refused."""
    match error:
        case errors.NotFound(what=what):
            return Refusal("not_exist", NOT_EXIST.get(what, "不存在"))
        case errors.AlreadyThere(what=what):
            return Refusal(*ALREADY.get(what, ("param_error", "已存在")))
        case errors.BadInput(field="send_account" | "send_domain"):
            return Refusal("sender_error", "发件人不正确")
        case errors.BadInput(field=field):
            return param_error(FIELDS.get(field, f"参数 {field} 不正确"))
        case errors.MalformedAddress():
            return Refusal("address_error", "邮箱地址格式错误")
        case errors.NotAllowed():
            return Refusal("no_permission", "没有权限或群发服务已停用")
        case errors.BadTemplate():
            return Refusal("tpl_error", _template(error))
        case errors.NoSender():
            return Refusal("sender_error", "发件人不存在或其域名未通过验证")
        case errors.ListDisabled():
            return Refusal("maillist_error", "联系人分类已禁用")
        case errors.InUse(what="template"):
            return Refusal("tpl_error", "模板正被未完成的任务使用")
        case errors.InUse():
            return Refusal("maillist_error", "联系人分类正被未完成的任务使用")
        case errors.VerifiedDomain():
            return Refusal("domain_verified", "已验证通过的域名不能删除")
        case errors.WrongState():
            return Refusal("task_state_error", "任务当前状态不允许此操作")
        case errors.TooManyCalls():
            return Refusal("limit_error", f"每小时最多调用 {error.facts['limit']} 次")
        case errors.NotEnoughVolume():
            return Refusal("qty_error", f"剩余发送量不足，可用 {error.facts['available']}")
        case WeakPassword():
            return param_error("密码过于简单或过长")
        case _:
            return Refusal("system_error", "系统错误")


def _template(error: errors.CampaignError) -> str:
    line, reason = error.facts.get("line", 0), error.facts.get("reason", "")
    return f"模板第 {line} 行错误：{reason}" if line else f"模板不可用：{reason}"
