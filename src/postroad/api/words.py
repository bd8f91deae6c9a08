"""What goes wrong, in English and Chinese: by a stable code the status, a title and what to do.

`{name}` stands for a fact of the error. Codes are part of the interface; sentences are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]

# code: (status, English title, English detail, Chinese title, Chinese detail)
PROBLEMS: Mapping[str, tuple[int, str, str, str, str]] = {
    "bad-request": (
        *(400, "Bad request", "The request cannot be understood."),
        *("请求有误", "无法理解该请求。"),
    ),
    "bad-json": (
        *(400, "Bad JSON", "The body is not JSON, or nested too deeply."),
        *("JSON 有误", "请求体不是 JSON，或嵌套过深。"),
    ),
    "invalid": (
        *(422, "Not valid", "Some of what was sent cannot be used; `errors` says which."),
        *("内容无效", "提交的内容中有不可用之处，见 `errors`。"),
    ),
    "account-needed": (
        *(400, "Which account?", "Say in the header Postroad-Account for which account the call is."),
        *("缺少账号", "请在 Postroad-Account 标头中说明为哪个账号调用。"),
    ),
    "not-signed-in": (
        *(401, "Not signed in", "The call needs a token that is in force."),
        *("未登录", "调用需要有效的令牌。"),
    ),
    "missing-scope": (
        *(403, "Not within the token's scopes", "The token lacks the scope {scope}."),
        *("超出令牌的权限范围", "令牌缺少权限范围 {scope}。"),
    ),
    "not-allowed": (
        *(403, "Not allowed", "You may not administer {where}, or act for its accounts."),
        *("没有权限", "您无权管理 {where}，也不能代表其账号。"),
    ),
    "no-mailbox": (
        *(403, "No mailbox", "The holder of this token has no mailbox."),
        *("没有邮箱", "该令牌的持有者没有邮箱。"),
    ),
    "account-disabled": (
        *(403, "Account disabled", "The account is disabled; ask the administrator."),
        *("账号已停用", "该账号已停用，请联系管理员。"),
    ),
    "not-found": (
        *(404, "Not found", "There is nothing at this address."),
        *("未找到", "此地址没有内容。"),
    ),
    "no-such-folder": (
        *(404, "No such folder", "The folder is not there, or not any more."),
        *("没有此文件夹", "文件夹不存在或已删除。"),
    ),
    "no-such-message": (
        *(404, "No such message", "The message is not in this folder, or not any more."),
        *("没有此邮件", "邮件不在此文件夹中，或已移走。"),
    ),
    "unknown-domain": (
        *(404, "No such domain", "There is no domain {domain} here."),
        *("没有此域名", "这里没有域名 {domain}。"),
    ),
    "unknown-account": (
        *(404, "No such account", "There is no account {address}."),
        *("没有此账号", "没有账号 {address}。"),
    ),
    "unknown-alias": (
        *(404, "No such alias", "There is no alias {address}."),
        *("没有此别名", "没有别名 {address}。"),
    ),
    "unknown-list": (
        *(404, "No such list", "There is no distribution list {address}."),
        *("没有此邮件列表", "没有邮件列表 {address}。"),
    ),
    "wrong-method": (
        *(405, "Not this way", "The address does not answer to this method."),
        *("方法不支持", "此地址不支持该请求方法。"),
    ),
    "key-in-use": (
        *(409, "Being answered", "The same call is being answered now; try again in {seconds} seconds."),
        *("正在处理", "同一调用正在处理，请在 {seconds} 秒后重试。"),
    ),
    "outcome-unknown": (
        *(409, "Outcome unknown", "The call was begun before, and whether it was done cannot be told."),
        *("结果未知", "该调用此前已开始，无法判断是否完成。"),
    ),
    "folder-exists": (
        *(409, "Folder exists", "There is a folder of this name already."),
        *("文件夹已存在", "已有同名文件夹。"),
    ),
    "folder-protected": (
        *(409, "Folder stays", "The folder belongs to every account, or has folders below it."),
        *("文件夹不可更改", "该文件夹为系统文件夹，或其下还有文件夹。"),
    ),
    "too-many-folders": (
        *(409, "Too many folders", "The account holds as many folders as it may."),
        *("文件夹过多", "账号的文件夹数量已达上限。"),
    ),
    "domain-taken": (
        *(409, "Domain exists", "The domain {domain} exists already."),
        *("域名已存在", "域名 {domain} 已存在。"),
    ),
    "address-taken": (
        *(409, "Address taken", "{address} is taken already ({kind})."),
        *("地址已被占用", "{address} 已被占用（{kind}）。"),
    ),
    "domain-in-use": (
        *(409, "Domain in use", "{domain} still has accounts, aliases, lists or alias domains."),
        *("域名仍在使用", "{domain} 下仍有账号、别名、列表或别名域。"),
    ),
    "domain-is-alias": (
        *(409, "Alias domain", "{domain} is an alias domain: it has nothing of its own."),
        *("别名域", "{domain} 是别名域，没有自己的内容。"),
    ),
    "limit-reached": (
        *(409, "As many as there may be", "There may be at most {limit} {what}."),
        *("已达上限", "最多 {limit} 个（{what}）。"),
    ),
    "changed": (
        *(412, "Changed meanwhile", "It was changed since you looked."),
        *("已被更改", "内容在您读取之后已被更改。"),
    ),
    "too-large": (
        *(413, "Too large", "What was sent is larger than this server takes."),
        *("内容过大", "提交的内容超过服务器的限制。"),
    ),
    "not-json": (
        *(415, "Not JSON", "Send the body as application/json."),
        *("不是 JSON", "请以 application/json 发送请求体。"),
    ),
    "bad-value": (
        *(422, "Not valid", "{field}: {reason}"),
        *("内容无效", "{field}：{reason}"),
    ),
    "bad-address": (
        *(422, "Not an address", "{address} is not a mail address."),
        *("地址无效", "{address} 不是有效的邮件地址。"),
    ),
    "bad-query": (
        *(422, "Search not understood", "{reason}"),
        *("无法理解搜索条件", "{reason}"),
    ),
    "bad-folder-name": (
        *(422, "Not a folder's name", "{reason}"),
        *("文件夹名称无效", "{reason}"),
    ),
    "bad-keyword": (
        *(422, "Not a keyword", "{reason}"),
        *("标签无效", "{reason}"),
    ),
    "unknown-target": (
        *(422, "Address does not exist", "The domain of {address} is ours, the address is not there."),
        *("地址不存在", "邮件无法发往 {address}：域名在本系统，但地址不存在。"),
    ),
    "weak-password": (
        *(422, "Password refused", "The password policy refuses it: {reason}."),
        *("密码不符合要求", "密码策略拒绝了该密码：{reason}。"),
    ),
    "not-sent": (
        *(422, "Not sent", "Nothing was sent to anybody: {reason}"),
        *("未发送", "没有发送给任何人：{reason}"),
    ),
    "key-reused": (
        *(422, "Key used before", "The idempotency key came with another request before."),
        *("幂等键已用过", "该幂等键此前用于另一个请求。"),
    ),
    "too-many-calls": (
        *(429, "Too many calls", "Try again in {seconds} seconds."),
        *("调用过于频繁", "请在 {seconds} 秒后重试。"),
    ),
    "too-many-streams": (
        *(429, "Too many streams", "Close one of the live streams, or try again later."),
        *("实时连接过多", "请关闭一些实时连接，或稍后再试。"),
    ),
    "failed": (
        *(500, "Something went wrong here", "It was noted; nothing of yours was lost."),
        *("服务器出错", "错误已记录，您的数据没有丢失。"),
    ),
    "away": (
        *(503, "Away for a moment", "The mail store is away; try again shortly."),
        *("暂时不可用", "邮件存储暂时不可用，请稍后重试。"),
    ),
    "late": (
        *(503, "Took too long", "The call was ended; try again."),
        *("超时", "调用已中止，请重试。"),
    ),
    "mailbox-full": (
        *(507, "The mailbox is full", "Delete something, then try again."),
        *("邮箱已满", "请删除一些邮件后重试。"),
    ),
}  # fmt: skip

# What is wrong with one field, by the validator's own word; "" for any other.
FIELD_ERRORS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "缺失"),
    "extra_forbidden": ("is not known", "是未知字段"),
    "string_too_long": ("is too long", "过长"),
    "string_too_short": ("is too short", "过短"),
    "too_long": ("has too many items", "项目过多"),
    "too_short": ("has too few items", "项目过少"),
    "string_type": ("must be text", "必须是文本"),
    "int_type": ("must be a whole number", "必须是整数"),
    "int_parsing": ("must be a whole number", "必须是整数"),
    "int_from_float": ("must be a whole number", "必须是整数"),
    "bool_type": ("must be true or false", "必须是 true 或 false"),
    "bool_parsing": ("must be true or false", "必须是 true 或 false"),
    "greater_than_equal": ("is too small", "过小"),
    "less_than_equal": ("is too large", "过大"),
    "list_type": ("must be a list", "必须是列表"),
    "literal_error": ("is none of the values it may have", "不是允许的值"),
    "string_pattern_mismatch": ("does not have the right form", "格式不正确"),
    "": ("cannot be used", "不可用"),
}


def say(code: str, language: Language, facts: Mapping[str, object]) -> tuple[int, str, str]:
    """Return the status, the title and the detail of a problem."""
    status, title, detail, title_zh, detail_zh = PROBLEMS[code]
    if language == "zh":
        title, detail = title_zh, detail_zh
    return status, title, detail.format_map({name: _shown(value) for name, value in facts.items()})


def say_field(error: str, language: Language) -> str:
    """Return what is wrong with a field."""
    return FIELD_ERRORS.get(error, FIELD_ERRORS[""])[language == "zh"]


def language_of(accept_language: str, chosen: str | None) -> Language:
    """An answer's language: what the request prefers (RFC 9110 12.5.4), else the account's, else English."""
    best: Language | None = None
    weight = 0.0
    for item in accept_language[:500].split(","):
        tag, _, parameter = item.partition(";")
        code = tag.strip().lower().partition("-")[0]
        try:
            q = float(parameter.partition("=")[2]) if parameter.strip() else 1.0
        except ValueError:
            continue
        if q > weight and code in ("en", "zh"):
            best, weight = ("zh" if code == "zh" else "en"), q
    if best is not None:
        return best
    return "zh" if chosen == "zh" else "en"


def _shown(value: object) -> str:
    return str(value)[:300]
