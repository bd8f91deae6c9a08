"""The command line's texts in English and Chinese: errors with what to do about them, questions, headings.

A word that is missing here is shown as it is; an error without a Chinese text keeps its English message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from postroad.cli.campaign_words import CAMPAIGN_ERRORS, CAMPAIGN_TEXTS

Language = Literal["en", "zh"]


def language_of(environment: Mapping[str, str]) -> Language:
    """Return the language that the environment asks for (POSIX 8.2: LC_ALL before LC_MESSAGES, LANG)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def say(word: str, language: Language, /, **facts: object) -> str:
    """Return a text of the catalogue with the facts in their places."""
    english, chinese = TEXTS.get(word, (word, word))
    return _filled(chinese if language == "zh" else english, facts)


def explain(code: str, message: str, language: Language, facts: Mapping[str, object]) -> tuple[str, str]:
    """Return what is wrong and what to do about it. `message` is the error's own English text."""
    english, chinese, hint, hint_chinese = ERRORS.get(code, ("", "", "", ""))
    template = (chinese or message or english) if language == "zh" else (english or message)
    reason = facts.get("reason")
    if isinstance(reason, str) and f"reason-{reason}" in TEXTS:
        facts = {**facts, "reason": say(f"reason-{reason}", language)}
    text = _filled(template, {"message": message, **facts})
    return text or code, _filled(hint_chinese if language == "zh" else hint, facts)


class _Gaps(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


def _filled(template: str, facts: Mapping[str, object]) -> str:
    return template.format_map(_Gaps(facts)) if "{" in template else template


# code: (English, Chinese, what to do, the same in Chinese). An empty English text: the error's own message
# is good.
ERRORS: dict[str, tuple[str, str, str, str]] = {
    **CAMPAIGN_ERRORS,
    "unknown-receiver": (
        "",
        "没有编号为 {id} 的接收方",
        "`postroad notify list` shows the receivers.",
        "用 `postroad notify list` 查看接收方。",
    ),
    "bad-receiver": (
        "",
        "不能作为接收方：{reason}",
        "`postroad notify add-webhook --help` and `postroad notify add-files --help` show the form.",
        "写法见 `postroad notify add-webhook --help` 与 `postroad notify add-files --help`。",
    ),
    "unknown-domain": (
        "",
        "没有域名 {domain}",
        "`postroad domain list` shows the domains; `postroad domain add {domain}` makes it.",
        "用 `postroad domain list` 查看域名，用 `postroad domain add {domain}` 添加。",
    ),
    "unknown-account": (
        "",
        "没有账号 {address}",
        "`postroad account list` shows the accounts.",
        "用 `postroad account list` 查看账号。",
    ),
    "unknown-alias": (
        "",
        "没有别名 {address}",
        "`postroad alias list` shows the aliases.",
        "用 `postroad alias list` 查看别名。",
    ),
    "unknown-list": (
        "",
        "没有邮件列表 {address}",
        "`postroad list list` shows the lists.",
        "用 `postroad list list` 查看邮件列表。",
    ),
    "unknown-application-password": (
        "",
        "没有编号为 {id} 的应用专用密码",
        "`postroad app-password list ADDRESS` shows them with their numbers.",
        "用 `postroad app-password list 地址` 查看编号。",
    ),
    "unknown-token": (
        "",
        "没有编号为 {id} 的令牌",
        "`postroad token list NAME` shows them with their numbers.",
        "用 `postroad token list 名称` 查看编号。",
    ),
    "unknown-principal": (
        "",
        "没有 {name}（{kind}）",
        "`postroad admin list` and `postroad control-account list` show who there is.",
        "用 `postroad admin list` 或 `postroad control-account list` 查看。",
    ),
    "name-taken": ("", "名称 {name} 已被占用", "Choose another name.", "请换一个名称。"),
    "not-allowed": ("", "无权管理 {where}", "", ""),
    "unknown-target": (
        "",
        "邮件无法转到 {address}：域名在本机，但地址不存在",
        "Make that account, alias or list first, or correct the address.",
        "请先创建该账号、别名或列表，或改正地址。",
    ),
    "domain-taken": ("", "域名 {domain} 已存在", "", ""),
    "address-taken": (
        "",
        "{address} 已被占用（{kind}）",
        "One address has one meaning: remove the other first, or choose another name.",
        "一个地址只能有一种用途：请先删除原有的，或换一个名字。",
    ),
    "domain-in-use": (
        "",
        "域名 {domain} 下还有 {accounts} 个账号，{others} 个别名、列表和别名域",
        "Remove them first, or use --force to remove them and all their mail with the domain.",
        "请先删除它们；或加 --force，连同所有邮件一起删除。",
    ),
    "domain-is-alias": (
        "",
        "{domain} 是别名域，没有自己的地址和设置",
        "Use the domain it stands for.",
        "请使用它所指向的域名。",
    ),
    "weak-password": (
        "",
        "密码太弱：{reason}",
        "Take a longer one, such as four words that do not belong together.",
        "请换一个更长的密码，例如四个互不相关的词。",
    ),
    "bad-value": ("", "{field} 的值无效：{reason}", "", ""),
    "limit-reached": ("", "最多只能有 {limit} 个（{what}）", "", ""),
    "bad-address": (
        "",
        "地址无效：{message}",
        "Write it as name@example.com.",
        "请写成 name@example.com 的形式。",
    ),
    "bad-quota": (
        "{value} is not a size",
        "{value} 不是有效的大小",
        "Write it as 500M, 10G, or none for no limit.",
        "请写成 500M、10G，或用 none 表示不限。",
    ),
    "bad-settings": ("", "设置有误：{message}", "Correct the settings file.", "请修改设置文件。"),
    "database-not-started": (
        "",
        "内置数据库无法启动：{message}",
        "`postroad doctor` looks at disk, permissions and settings.",
        "用 `postroad doctor` 检查磁盘、权限和设置。",
    ),
    "database-not-embedded": (
        "The database is one of your own (the setting `database`); its own tools upgrade it.",
        "数据库是您自己的（设置 `database`），请用它自己的工具升级。",
        "For PostgreSQL: pg_upgrade(1), or pg_dump and pg_restore.",
        "PostgreSQL 可用 pg_upgrade(1)，或 pg_dump 与 pg_restore。",
    ),
    "disk-full": (
        "",
        "磁盘已满：{message}",
        "Make room on the disk of data_dir.",
        "请清理 data_dir 所在的磁盘。",
    ),
    "schema-too-new": ("", "数据库比本程序新：{message}", "", ""),
    "schema-changed": ("", "数据库结构与本程序不符：{message}", "", ""),
    "pooler-in-the-way": (
        "",
        "到数据库之间有一个连接池，它不为每个连接保留会话：{message}",
        "PgBouncer: pool_mode = session for this database, and ignore_startup_parameters = "
        "statement_timeout,lock_timeout,idle_in_transaction_session_timeout; or connect to PostgreSQL.",
        "PgBouncer：为此数据库设置 pool_mode = session，并设置 ignore_startup_parameters = "
        "statement_timeout,lock_timeout,idle_in_transaction_session_timeout；或者直接连接 PostgreSQL。",
    ),
    "migration-failed": (
        "",
        "数据库升级失败：{message}",
        "Nothing was changed. Keep this message, and a backup, before you try again.",
        "没有做任何更改。请保存这条信息并备份后再试。",
    ),
    "database-unavailable": (
        "the database cannot be reached: {message}",
        "无法连接数据库：{message}",
        "Check `database` in the settings; `postroad doctor` tells more.",
        "请检查设置中的 `database`；`postroad doctor` 会给出详情。",
    ),
    "dump-failed": (
        "",
        "数据库转储失败：{message}",
        "Nothing was left behind; look at the disk and at the database's log.",
        "没有留下任何文件；请检查磁盘和数据库日志。",
    ),
    "bad-archive": (
        "",
        "备份不可用：{message}",
        "Take another backup; one without manifest.json was interrupted.",
        "请换一份备份；没有 manifest.json 的备份是中断的。",
    ),
    "not-empty": (
        "something is here already: {message}",
        "这里已有数据：{message}",
        "Restore into a new data_dir, or use --force to replace what is here.",
        "请恢复到新的 data_dir，或用 --force 替换现有数据。",
    ),
    "server-runs": (
        "",
        "服务器正在使用此数据目录：{message}",
        "Stop the server first.",
        "请先停止服务器。",
    ),
    "not-the-owner": (
        "",
        "数据目录属于别的用户：{message}",
        "Use sudo, or sudo -u with its owner.",
        "请使用 sudo，或用 sudo -u 切换到其所有者。",
    ),
    "blob-missing": (
        "",
        "缺少文件：{message}",
        "`postroad verify` names the mail; restore the file from a backup.",
        "用 `postroad verify` 查出是哪封邮件，并从备份恢复该文件。",
    ),
    "blobs-unavailable": (
        "",
        "无法访问邮件文件存储：{message}",
        "Check `blobs` in the settings, the directory's owner, or the bucket's access.",
        "请检查设置中的 `blobs`、目录所有者或存储桶权限。",
    ),
    "store-refused": ("", "邮件存储拒绝：{message}", "", ""),
    "nothing-to-import": (
        "",
        "没有可导入的邮件：{message}",
        "Give a Maildir (with cur and new), an mbox file, or a directory of mbox files.",
        "请给出 Maildir（含 cur 和 new）、mbox 文件或 mbox 文件的目录。",
    ),
    "file-trouble": ("", "文件或系统错误：{message}", "", ""),
    "no-such-queued-mail": (
        "",
        "队列中没有这封邮件：{message}",
        "`postroad queue list` shows what waits.",
        "用 `postroad queue list` 查看等待中的邮件。",
    ),
    "bad-mail-id": (
        "{value} is not the id of a mail",
        "{value} 不是邮件编号",
        "`postroad queue list` shows the ids.",
        "用 `postroad queue list` 查看编号。",
    ),
    "queue-which": (
        "it is not said which mails are meant",
        "没有说明是哪些邮件",
        "Give ids, --sender, --recipient or --route; --all means all of the queue.",
        "请给出编号、--sender、--recipient 或 --route；--all 表示整个队列。",
    ),
    "not-confirmed": ("nothing was done", "没有执行", "", ""),
    "no-password-on-stdin": (
        "standard input holds no password",
        "标准输入中没有密码",
        "Write the password as one line: printf '%s\\n' \"$PASSWORD\" | postroad … --password-stdin",
        "请写入一行密码：printf '%s\\n' \"$PASSWORD\" | postroad … --password-stdin",
    ),
    "password-needed": (
        "a password is needed",
        "需要密码",
        "Use --password-stdin, or run the command at a terminal.",
        "请用 --password-stdin，或在终端中运行。",
    ),
    "passwords-differ": ("the two passwords differ", "两次输入的密码不同", "", ""),
    "too-busy": ("too many passwords are being hashed", "正在处理的密码过多", "Try again.", "请重试。"),
    "no-hostname": (
        "the settings name no full host name ({hostname})",
        "设置中没有完整的主机名（{hostname}）",
        "Set `hostname` to the name that the MX record shall point at, such as mail.example.com.",
        "请把 `hostname` 设为 MX 记录要指向的名字，例如 mail.example.com。",
    ),
    "alias-target": (
        "name the domain it shall stand for, or use --none",
        "请给出要指向的域名，或用 --none",
        "",
        "",
    ),
    "no-key": ("there is no key {selector}", "没有密钥 {selector}", "", ""),
    "no-file": ("{path} does not exist", "{path} 不存在", "", ""),
}

# word: (English, Chinese)
TEXTS: dict[str, tuple[str, str]] = {
    **CAMPAIGN_TEXTS,
    "hint-usage": ("`postroad COMMAND --help` says how it is used.", "用 `postroad 命令 --help` 查看用法。"),
    "hint-internal": (
        "This is a mistake in Postroad. Please report it with the lines above.",
        "这是 Postroad 的错误，请附上以上内容反馈。",
    ),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "none": ("There are none.", "没有。"),
    "reason-length": ("it has too few or too many characters", "长度不合要求（至少 8 个字符）"),
    "reason-control": ("it holds a control character", "含有控制字符"),
    "reason-address": ("it is the address or a part of it", "与地址或其一部分相同"),
    "reason-repeated": ("it repeats one or two characters", "只是重复一两个字符"),
    "ask-password": ("Password: ", "密码："),
    "ask-password-again": ("Again: ", "再输入一次："),
    "ask-remove-account": ("Remove {address} and all its mail?", "删除 {address} 及其全部邮件？"),
    "ask-remove-domain": (
        "Remove {domain} with {accounts} accounts and all their mail?",
        "删除 {domain} 以及 {accounts} 个账号的全部邮件？",
    ),
    "ask-restore": (
        "Replace everything here by the backup of {made_at}?",
        "用 {made_at} 的备份替换这里的全部数据？",
    ),
    "backed-up": (
        "The backup is in {path}: the database, {blobs} blobs ({size}), settings and certificate.",
        "备份在 {path}：数据库、{blobs} 个大邮件文件（{size}）、设置和证书。",
    ),
    "blobs-missing": (
        "{count} blobs were missing before: `postroad verify` names their mails.",
        "此前已缺少 {count} 个文件：用 `postroad verify` 查看是哪些邮件。",
    ),
    "database-upgraded": (
        "The database went from PostgreSQL {old} to {new}. The old one is kept in {kept}; remove it when all "
        "is well.",
        "数据库已从 PostgreSQL {old} 升级到 {new}。旧的保留在 {kept}，确认无误后可以删除。",
    ),
    "restored": (
        "The installation is as it was at {made_at}, with {blobs} blobs.",
        "已恢复到 {made_at} 的状态，包括 {blobs} 个大邮件文件。",
    ),
    "ask-drop": ("Drop these mails without telling their senders?", "删除这些邮件而不通知发件人？"),
    "queue-empty": ("The queue is empty.", "队列是空的。"),
    "queue-retried": ("{count} recipients are due now.", "{count} 个收件人将立即重试。"),
    "queue-held": ("{count} recipients are held.", "{count} 个收件人已暂停。"),
    "queue-released": ("{count} recipients are released.", "{count} 个收件人已恢复。"),
    "queue-dropped": ("{count} recipients are dropped.", "{count} 个收件人已删除。"),
    "queue-on-the-wire": (
        "{count} of them were on the wire already, and may still arrive.",
        "其中 {count} 个已在发送中，可能仍会送达。",
    ),
    "queue-total": (
        "{recipients} recipients of {mails} mails ({size}): {due} due, {held} held, {tried} being tried.",
        "{mails} 封邮件的 {recipients} 个收件人（{size}）：{due} 个到期，{held} 个暂停，{tried} 个正在投递。",
    ),
    "state-held": ("held", "暂停"),
    "state-tried": ("being tried", "正在投递"),
    "state-waits": ("waits", "等待"),
    "no-limit": ("no limit", "不限"),
    "domain-added": (
        "{domain} is here. Its DNS records (`postroad domain dns {domain}` prints them again):",
        "已添加 {domain}。所需的 DNS 记录如下（`postroad domain dns {domain}` 可再次打印）：",
    ),
    "domain-removed": ("{domain} is removed.", "已删除 {domain}。"),
    "domain-set": ("{domain} is changed.", "已修改 {domain}。"),
    "account-added": ("{address} is here.", "已添加 {address}。"),
    "account-removed": ("{address} and its mail are removed.", "已删除 {address} 及其邮件。"),
    "account-set": ("{address} is changed.", "已修改 {address}。"),
    "password-set": (
        "The password of {address} is changed; its web sessions are closed.",
        "已修改 {address} 的密码，网页会话已全部退出。",
    ),
    "app-password-added": (
        "Shown this once; type it into the device ({label}):",
        "只显示这一次，请输入到设备（{label}）中：",
    ),
    "app-password-removed": ("Application password {id} is removed.", "已删除应用专用密码 {id}。"),
    "token-added": ("Shown this once; for {label}:", "只显示这一次，用于 {label}："),
    "token-removed": ("Token {id} is removed.", "已删除令牌 {id}。"),
    "integration-added": (
        "The integration {name} is here. Its secret is shown this once:",
        "已添加集成 {name}。其密钥只显示这一次：",
    ),
    "integration-secret": (
        "The new secret of {name} is shown this once; the old one is void:",
        "{name} 的新密钥只显示这一次，旧密钥已失效：",
    ),
    "integration-removed": ("The integration {name} is removed.", "已删除集成 {name}。"),
    "admin-added-server": ("{name} administers the whole server.", "{name} 可管理整个服务器。"),
    "admin-added": ("{name} administers {domains}.", "{name} 可管理 {domains}。"),
    "admin-removed": ("{name} is no administrator any more.", "{name} 不再是管理员。"),
    "principal-password-set": (
        "The password of {name} is changed; its sessions are closed.",
        "已修改 {name} 的密码，其会话已全部退出。",
    ),
    "control-account-added": ("The control account {name} is here.", "已添加控制账号 {name}。"),
    "control-account-removed": ("The control account {name} is removed.", "已删除控制账号 {name}。"),
    "receiver-added": (
        "Receiver {id} is told of new mail: {target}",
        "接收方 {id} 将收到新邮件通知：{target}",
    ),
    "receiver-secret": (
        "Shown this once; the receiver checks signatures with it:",
        "只显示这一次，接收方用它验证签名：",
    ),
    "receiver-removed": ("Receiver {id} is removed.", "已删除接收方 {id}。"),
    "receiver-paused": (
        "Receiver {id} is told nothing for now; what comes waits.",
        "接收方 {id} 已暂停，新通知将等待。",
    ),
    "receiver-resumed": ("Receiver {id} is told again.", "接收方 {id} 已恢复。"),
    "receiver-replays": (
        "{count} mails wait to be told to receiver {id}.",
        "有 {count} 封邮件等待通知接收方 {id}。",
    ),
    "receiver-answers": ("Receiver {id} is well: {said}", "接收方 {id} 正常：{said}"),
    "receiver-fails": ("Receiver {id} fails: {said}", "接收方 {id} 失败：{said}"),
    "confirm-remove-receiver": (
        "Remove {target} with what waits for it?",
        "删除 {target} 及其等待中的通知？",
    ),
    "everybody": ("everybody", "所有人"),
    "paused": ("paused", "已暂停"),
    "failing": ("failing", "失败中"),
    "well": ("well", "正常"),
    "whole server": ("the whole server", "整个服务器"),
    "every command": ("every command", "全部命令"),
    "everywhere": ("everywhere", "任意地址"),
    "alias-added": ("{address} leads to {count} addresses.", "{address} 转到 {count} 个地址。"),
    "alias-removed": ("{address} is removed.", "已删除 {address}。"),
    "list-added": (
        "The list {address} is here; it has no members yet.",
        "已添加列表 {address}，还没有成员。",
    ),
    "list-removed": ("The list {address} is removed.", "已删除列表 {address}。"),
    "list-set": ("The list {address} is changed.", "已修改列表 {address}。"),
    "members-added": ("{count} members were added or changed.", "添加或修改了 {count} 个成员。"),
    "members-removed": ("{count} members were removed.", "删除了 {count} 个成员。"),
    "more": ("There are more: --after {after}", "还有更多：--after {after}"),
    "keys-added": (
        "New keys sign from now on. Publish their records (`postroad domain dns {domain}`).",
        "新密钥即刻用于签名。请发布其记录（`postroad domain dns {domain}`）。",
    ),
    "key-removed": ("The key {selector} is removed.", "已删除密钥 {selector}。"),
    "verify-sound": ("The store is sound.", "存储完好。"),
    "verify-problems": ("{count} problems.", "{count} 个问题。"),
    "verify-repaired": ("The counters of {count} folders were corrected.", "已更正 {count} 个文件夹的计数。"),
    "exported": (
        "{written} mails written, {kept} were there already, {folders} folders.",
        "写出 {written} 封邮件，{kept} 封已存在，共 {folders} 个文件夹。",
    ),
    "imported": (
        "{imported} mails taken in, {known} were taken before.",
        "导入 {imported} 封邮件，{known} 封此前已导入。",
    ),
    "mails-skipped": ("{count} mails were passed over.", "跳过了 {count} 封邮件。"),
    "keywords-dropped": (
        "A Maildir has no room for these keywords: {keywords}",
        "Maildir 容纳不下这些关键字：{keywords}",
    ),
    "topic-database": ("Database", "数据库"),
    "topic-clock": ("Clock", "时钟"),
    "topic-disk": ("Disk", "磁盘"),
    "topic-secrets": ("Secrets", "机密文件"),
    "topic-tls": ("TLS", "TLS"),
    "topic-ports": ("Ports", "端口"),
    "topic-dns": ("DNS", "DNS"),
    "topic-relay": ("Smart host", "中继服务器"),
    "doctor-summary": (
        "{ok} in order, {warn} to look at, {fail} to mend.",
        "{ok} 项正常，{warn} 项需留意，{fail} 项需修复。",
    ),
    # headings
    "administers": ("ADMINISTERS", "管理范围"),
    "kind": ("KIND", "类别"),
    "commands": ("COMMANDS", "命令"),
    "from": ("FROM", "来源"),
    "digest": ("DIGEST", "摘要登录"),
    "time": ("TIME", "时间"),
    "who": ("WHO", "操作者"),
    "action": ("ACTION", "操作"),
    "object": ("OBJECT", "对象"),
    "facts": ("FACTS", "内容"),
    "address": ("ADDRESS", "地址"),
    "name": ("NAME", "名称"),
    "domain": ("DOMAIN", "域名"),
    "alias of": ("ALIAS OF", "别名指向"),
    "catch-all": ("CATCH-ALL", "兜底地址"),
    "postmaster": ("POSTMASTER", "邮件管理员"),
    "accounts": ("ACCOUNTS", "账号数"),
    "created": ("CREATED", "创建时间"),
    "quota": ("QUOTA", "配额"),
    "disabled": ("DISABLED", "已停用"),
    "mobile": ("MOBILE", "手机"),
    "language": ("LANGUAGE", "语言"),
    "targets": ("TARGETS", "目标"),
    "posting": ("WHO MAY POST", "谁可发信"),
    "members": ("MEMBERS", "成员数"),
    "owner": ("OWNER", "所有者"),
    "label": ("LABEL", "标签"),
    "id": ("ID", "编号"),
    "last used": ("LAST USED", "最近使用"),
    "selector": ("SELECTOR", "选择器"),
    "sender": ("SENDER", "发件人"),
    "recipient": ("RECIPIENT", "收件人"),
    "recipients": ("RECIPIENTS", "收件人数"),
    "route": ("ROUTE", "路由"),
    "attempts": ("ATTEMPTS", "次数"),
    "next attempt": ("NEXT ATTEMPT", "下次尝试"),
    "state": ("STATE", "状态"),
    "last answer": ("LAST ANSWER", "最近答复"),
    "size": ("SIZE", "大小"),
    "queued": ("QUEUED", "入队时间"),
    "due": ("DUE", "到期"),
    "held": ("HELD", "暂停"),
    "oldest": ("OLDEST", "最早"),
    "algorithm": ("ALGORITHM", "算法"),
    "aliases": ("ALIASES", "别名"),
    "application passwords": ("APPLICATION PASSWORDS", "应用专用密码"),
    "field": ("FIELD", "字段"),
    "value": ("VALUE", "值"),
}
