"""What `postroad doctor` says in English and Chinese: each finding, and what to do about it."""

from __future__ import annotations

from postroad.cli.checks.finding import Finding
from postroad.cli.output import cell_text
from postroad.cli.words import Language


def found(finding: Finding, language: Language) -> str:
    """Return what was found."""
    return _text(finding, language, 0)


def advice(finding: Finding, language: Language) -> str:
    """Return what to do about it; empty when there is nothing to do."""
    return _text(finding, language, 2)


def _text(finding: Finding, language: Language, place: int) -> str:
    template = WORDS[finding.word][place + (language == "zh")]
    facts = {name: cell_text(value, language) for name, value in finding.facts.items()}
    return template.format(subject=finding.subject, **facts)


# word: (English, Chinese, what to do, the same in Chinese)
WORDS: dict[str, tuple[str, str, str, str]] = {
    # the database
    "database-silent": (
        "cannot be reached: {error}",
        "无法连接：{error}",
        "Check `database` in the settings, that PostgreSQL runs, and the disk.",
        "请检查设置中的 `database`、PostgreSQL 是否在运行，以及磁盘。",
    ),
    "database-version": ("PostgreSQL {version}", "PostgreSQL {version}", "", ""),
    "database-old": (
        "PostgreSQL {version}; at least {oldest} is needed",
        "PostgreSQL {version}；至少需要 {oldest}",
        "Upgrade PostgreSQL, or use the embedded one.",
        "请升级 PostgreSQL，或使用内置数据库。",
    ),
    "database-durable": ("what is committed survives a power cut", "已提交的数据断电不丢", "", ""),
    "database-not-durable": (
        "acknowledged mail can be lost: {settings} is off",
        "已确认的邮件可能丢失：{settings} 已关闭",
        "Switch it on in PostgreSQL's settings.",
        "请在 PostgreSQL 设置中打开。",
    ),
    "database-read-only": (
        "this is a replica, it takes no changes",
        "这是只读副本",
        "Point `database` at the primary.",
        "请把 `database` 指向主库。",
    ),
    "database-replicas": ("{count} replicas follow", "有 {count} 个副本", "", ""),
    "database-alone": (
        "no replica: backups are the only second copy",
        "没有副本：备份是唯一的第二份数据",
        "",
        "",
    ),
    "database-verified": (
        "the way to {host} is encrypted and verified",
        "到 {host} 的连接已加密并验证",
        "",
        "",
    ),
    "database-not-verified": (
        "the way to {host} is not verified (sslmode={mode}): mail and password hashes can be read on it",
        "到 {host} 的连接未经验证（sslmode={mode}）：途中可能泄露邮件和密码哈希",
        "Add ?sslmode=verify-full&sslrootcert=FILE to `database` in the settings.",
        "请在设置的 `database` 中加上 ?sslmode=verify-full&sslrootcert=文件。",
    ),
    "schema-current": ("schema {version} is current", "结构版本 {version}，已是最新", "", ""),
    "schema-empty": (
        "the database is new and empty",
        "数据库是新的，还没有内容",
        "`postroad domain add NAME` begins; or `postroad restore` a backup.",
        "用 `postroad domain add 域名` 开始，或用 `postroad restore` 恢复备份。",
    ),
    "schema-pending": (
        "{count} changes of the schema wait for the next start",
        "有 {count} 项结构更改将在下次启动时执行",
        "Make a backup, then start the server or run any other command.",
        "请先备份，再启动服务器或执行任一其他命令。",
    ),
    "schema-foreign": (
        "{error}",
        "结构与本程序不符：{error}",
        "Install the release that this database belongs to.",
        "请安装与此数据库相符的版本。",
    ),
    # the clock
    "clock-agrees": ("agrees with the database's clock", "与数据库时钟一致", "", ""),
    "clock-differs": (
        "is {seconds} s away from the database's clock",
        "与数据库时钟相差 {seconds} 秒",
        "Let both machines set their clocks by NTP.",
        "请让两台机器都用 NTP 校时。",
    ),
    # the disk
    "disk-room": (
        "{free} free ({share}), {inodes} of the inodes",
        "剩余 {free}（{share}），inode 剩余 {inodes}",
        "",
        "",
    ),
    "disk-low": (
        "only {free} free ({share}), {inodes} of the inodes",
        "仅剩 {free}（{share}），inode 剩余 {inodes}",
        "Make room or move it to a larger disk: when it is full, no mail is taken.",
        "请清理或换更大的磁盘：磁盘满后将不再收信。",
    ),
    "disk-not-writable": (
        "this account may not write here",
        "当前用户没有写权限",
        "Run as the account that owns it, or change its owner.",
        "请用其所有者运行，或更改所有者。",
    ),
    "blobs-writable": ("large mails can be written", "大邮件可以写入", "", ""),
    "blobs-not-writable": (
        "large mails cannot be taken: {error}",
        "无法接收大邮件：{error}",
        "Give the directory, with all in it, to the server's user (chown -R), or mend the bucket's access.",
        "请把该目录及其全部内容交给服务器的用户（chown -R），或修复存储桶权限。",
    ),
    "blobs-elsewhere": (
        "is in an object store: its room is not ours to measure",
        "在对象存储中，不检查空间",
        "",
        "",
    ),
    # secrets
    "secret-closed": ("closed to others ({mode})", "其他人不可读（{mode}）", "", ""),
    "secret-open": (
        "open to others ({mode})",
        "其他人可以访问（{mode}）",
        "chmod go-rwx {subject}",
        "chmod go-rwx {subject}",
    ),
    "secret-group": (
        "open to its group ({mode})",
        "同组用户可以访问（{mode}）",
        "chmod g-rwx {subject}",
        "chmod g-rwx {subject}",
    ),
    # TLS
    "tls-half": (
        "`private_key` is set without `certificate`",
        "设置了 `private_key`，却没有 `certificate`",
        "Set `certificate` in [tls] too.",
        "请在 [tls] 中同时设置 `certificate`。",
    ),
    "tls-self-made": (
        "no certificate is set: a self-signed one is shown",
        "没有设置证书：将使用自签名证书",
        "Get one (Let's Encrypt is free) and set `certificate` and `private_key` in [tls].",
        "请申请证书（Let's Encrypt 免费），并在 [tls] 中设置 `certificate` 和 `private_key`。",
    ),
    "tls-unusable": (
        "cannot be used: {error}",
        "无法使用：{error}",
        "Both must be PEM files that this account may read, and belong together.",
        "两者都必须是本用户可读的 PEM 文件，并且相互匹配。",
    ),
    "tls-not-yet": (
        "begins at {begins} only",
        "{begins} 才开始有效",
        "Check the clock.",
        "请检查时钟。",
    ),
    "tls-expired": ("ended at {ends}", "已于 {ends} 过期", "Renew it.", "请更新证书。"),
    "tls-expires": (
        "ends in {days} days",
        "还有 {days} 天过期",
        "Renew it; look why it was not renewed by itself.",
        "请更新，并查明为何没有自动更新。",
    ),
    "tls-in-force": ("in force for {days} more days", "还有 {days} 天有效", "", ""),
    "tls-name": ("is for {hostname}", "适用于 {hostname}", "", ""),
    "tls-other-name": (
        "is not for {hostname} but for {names}",
        "不适用于 {hostname}，而是 {names}",
        "Get one for {hostname}, or correct `hostname`.",
        "请为 {hostname} 申请证书，或改正 `hostname`。",
    ),
    "tls-self-signed": (
        "is self-signed",
        "是自签名证书",
        "Mail programs will warn; get one from an authority.",
        "邮件程序会告警；请向证书机构申请。",
    ),
    "tls-no-chain": (
        "has no certificates of its issuer with it ({issuer})",
        "没有附带签发者的证书（{issuer}）",
        "Use the file with the full chain (fullchain.pem).",
        "请使用包含完整链的文件（fullchain.pem）。",
    ),
    "tls-chain": ("issued by {issuer}", "签发者：{issuer}", "", ""),
    # ports
    "port-unreadable": (
        "is not host:port",
        "不是 主机:端口 的形式",
        'Write it as 0.0.0.0:25, or "" for off.',
        '请写成 0.0.0.0:25，或用 "" 关闭。',
    ),
    "port-answers": ("answers", "有应答", "", ""),
    "port-free": (
        "nobody answers; it can be opened",
        "没有应答，可以打开",
        "Start the server: postroad serve",
        "请启动服务器：postroad serve",
    ),
    "port-silent": (
        "somebody listens but says nothing",
        "有程序在监听，但没有应答",
        "Look at the server's log; restart it.",
        "请查看服务器日志，或重新启动。",
    ),
    "port-taken": (
        "another program is there: {greeting}",
        "被其他程序占用：{greeting}",
        "Stop it, or choose another port in [listen].",
        "请停止该程序，或在 [listen] 中换一个端口。",
    ),
    "port-no-tls": (
        "does not speak TLS: {error}",
        "不支持 TLS：{error}",
        "Look whether another program has the port.",
        "请检查端口是否被其他程序占用。",
    ),
    "port-forbidden": (
        "this account may not open it",
        "当前用户不能打开此端口",
        "Below 1024 the systemd unit needs AmbientCapabilities=CAP_NET_BIND_SERVICE; or forward the port.",
        "1024 以下的端口需要在 systemd 单元中设置 AmbientCapabilities=CAP_NET_BIND_SERVICE，或做端口转发。",
    ),
    "port-no-address": (
        "this machine has no such address: {error}",
        "本机没有这个地址：{error}",
        "Correct it in [listen]; 0.0.0.0 means every IPv4 address.",
        "请在 [listen] 中改正；0.0.0.0 表示所有 IPv4 地址。",
    ),
    "port-public": ("takes mail from elsewhere", "可以接收外部邮件", "", ""),
    "port-not-public": (
        "mail from elsewhere comes to port 25 of a public address",
        "外部邮件只会送到公网地址的 25 端口",
        'Set listen.smtp to "0.0.0.0:25", or forward port 25 to it.',
        '请把 listen.smtp 设为 "0.0.0.0:25"，或把 25 端口转发过来。',
    ),
    # the smart host
    "relay-ready": ("takes our mail ({security})", "可以接收我们的邮件（{security}）", "", ""),
    "relay-open": (
        "takes our mail, but on the way anybody can read it",
        "可以接收我们的邮件，但途中任何人都能读取",
        'Ask its operator for TLS, and set delivery.relay_tls to "verified".',
        '请向其运营方索取 TLS 支持，并把 delivery.relay_tls 设为 "verified"。',
    ),
    "relay-not-verified": (
        "does not prove its name, so it gets neither password nor mail: {error}",
        "无法证明自己的名称，因此不会得到密码和邮件：{error}",
        "Write its name as in its certificate in delivery.relay; for a certificate of your own, name its "
        "authority in delivery.relay_ca.",
        "请让 delivery.relay 中的名称与其证书一致；若使用自建证书，请在 delivery.relay_ca 中指定其签发机构。",
    ),
    "relay-refuses": (
        "does not let us in: {error}",
        "拒绝我们：{error}",
        "Mail for elsewhere waits. Check delivery.relay, relay_username, relay_password and relay_tls.",
        "外发邮件正在等待。请检查 delivery.relay、relay_username、relay_password 和 relay_tls。",
    ),
    # DNS
    "resolver-silent": (
        "the resolver ({resolver}) does not answer: {error}",
        "域名解析器（{resolver}）没有应答：{error}",
        "Without it no mail leaves: check the network, /etc/resolv.conf or delivery.resolver.",
        "没有它就无法发信：请检查网络、/etc/resolv.conf 或 delivery.resolver。",
    ),
    "zone-silent": (
        "its name servers give no answer: {error}",
        "该域名的服务器没有应答：{error}",
        "Ask whoever keeps the zone.",
        "请联系该域名的管理者。",
    ),
    "hostname-short": (
        "is not a full host name",
        "不是完整的主机名",
        "Set `hostname` to a name such as mail.example.com.",
        "请把 `hostname` 设为完整的名字，例如 mail.example.com。",
    ),
    "hostname-no-address": (
        "has no address in the DNS",
        "在 DNS 中没有地址",
        "Publish an A (and AAAA) record for it.",
        "请为它发布 A（和 AAAA）记录。",
    ),
    "hostname-address": ("is {addresses}", "地址为 {addresses}", "", ""),
    "ptr-ours": ("its name is {hostname}", "反向解析为 {hostname}", "", ""),
    "ptr-other": (
        "its name is {names}, not {hostname}",
        "反向解析为 {names}，而不是 {hostname}",
        "Ask the address's provider to set its PTR record to {hostname}: large receivers look at it.",
        "请让 IP 提供商把 PTR 记录设为 {hostname}：大型邮箱会检查。",
    ),
    "ptr-missing": (
        "has no name (PTR)",
        "没有反向解析（PTR）",
        "Ask its provider to set the PTR record to {hostname}: large receivers refuse mail without it.",
        "请让 IP 提供商设置 PTR 记录为 {hostname}：没有它，大型邮箱会拒收。",
    ),
    "mx-ours": ("points at {hostname}", "指向 {hostname}", "", ""),
    "mx-other": (
        "points at {hosts}, not at {hostname}",
        "指向 {hosts}，而不是 {hostname}",
        "Publish: {domain}. IN MX 10 {hostname}.",
        "请发布：{domain}. IN MX 10 {hostname}.",
    ),
    "mx-missing": (
        "there is none: mail for the domain does not come here",
        "没有记录：该域名的邮件不会送到这里",
        "Publish: {domain}. IN MX 10 {hostname}.",
        "请发布：{domain}. IN MX 10 {hostname}.",
    ),
    "spf-ours": ("names this server", "包含本服务器", "", ""),
    "spf-missing": (
        "there is none",
        "没有记录",
        "`postroad domain dns` prints the record to publish.",
        "用 `postroad domain dns` 打印要发布的记录。",
    ),
    "spf-twice": (
        "there are several, so none counts: {record}",
        "有多条记录，全部无效：{record}",
        "Merge them into one.",
        "请合并为一条。",
    ),
    "spf-unsure": (
        "names this server only through others, if at all: {record}",
        "只能通过其他记录间接包含本服务器：{record}",
        "Make sure that it does, or add a:{hostname}.",
        "请确认包含本服务器，或加入 a:{hostname}。",
    ),
    "spf-other": (
        "does not name this server: {record}",
        "不包含本服务器：{record}",
        "Add a:{hostname} to it.",
        "请加入 a:{hostname}。",
    ),
    "dkim-published": ("is published", "已发布", "", ""),
    "dkim-missing": (
        "is not published, so signatures fail",
        "没有发布，签名将无法验证",
        "Publish: {record}",
        "请发布：{record}",
    ),
    "dkim-other": (
        "is another key than the one that signs",
        "与签名所用的密钥不同",
        "Publish: {record}",
        "请发布：{record}",
    ),
    "dmarc-published": ("{record}", "{record}", "", ""),
    "dmarc-missing": (
        "there is no usable record",
        "没有可用的记录",
        'Publish: _dmarc.{domain}. IN TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}"',
        '请发布：_dmarc.{domain}. IN TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}"',
    ),
}
