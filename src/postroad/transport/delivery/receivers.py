"""Rules for large receivers, as they hold where the settings have none of their own.

Cautious: a sender they do not know yet is taken at these figures, and what they ask for less of is learned
(`paces.py`). By MX hosts, so that every domain that is hosted there is meant; a smart host is none of them.
A rule of the settings with the same name takes the place of one here, and one that matches goes before all
of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from postroad.config.shaping import ShapingRule


def _rule(
    name: str, hosts: Sequence[str], *, connections: int, mails_per_connection: int, mails_per_minute: int
) -> ShapingRule:
    return ShapingRule(
        name=name,
        hosts=tuple(hosts),
        each="rule",
        connections=connections,
        mails_per_connection=mails_per_connection,
        mails_per_minute=mails_per_minute,
    )


BUILT_IN: tuple[ShapingRule, ...] = (
    # QQ and its business mail end a connection after some tens of mails, and count a minute.
    _rule("qq", ["*.qq.com"], connections=5, mails_per_connection=20, mails_per_minute=600),
    # 163.com, 126.com, yeah.net and NetEase's business mail.
    _rule(
        "netease",
        ["*.netease.com", "*.163.com"],
        connections=5,
        mails_per_connection=20,
        mails_per_minute=600,
    ),
    _rule(
        "sina", ["*.sina.com.cn", "*.sina.cn"], connections=4, mails_per_connection=20, mails_per_minute=300
    ),
    _rule("sohu", ["*.sohu.com"], connections=4, mails_per_connection=20, mails_per_minute=300),
    _rule(
        "aliyun",
        ["*.aliyun.com", "*.mxhichina.com"],
        connections=5,
        mails_per_connection=50,
        mails_per_minute=600,
    ),
    _rule("139", ["*.139.com", "*.10086.cn"], connections=4, mails_per_connection=20, mails_per_minute=300),
    _rule("189", ["*.189.cn", "*.21cn.com"], connections=4, mails_per_connection=20, mails_per_minute=300),
    # Gmail and Google Workspace ask for few connections with many mails.
    _rule(
        "google",
        ["*.google.com", "*.googlemail.com"],
        connections=10,
        mails_per_connection=100,
        mails_per_minute=1800,
    ),
    # Outlook.com, Hotmail and Microsoft 365.
    _rule(
        "microsoft",
        ["*.outlook.com", "*.hotmail.com"],
        connections=8,
        mails_per_connection=100,
        mails_per_minute=900,
    ),
    # Yahoo and AOL: 20 mails a connection, says their page for senders.
    _rule("yahoo", ["*.yahoodns.net"], connections=5, mails_per_connection=20, mails_per_minute=600),
    _rule(
        "apple", ["*.icloud.com", "*.apple.com"], connections=5, mails_per_connection=50, mails_per_minute=600
    ),
)


def with_built_in(rules: Sequence[ShapingRule]) -> tuple[ShapingRule, ...]:
    """The rules of the settings, then those here that none of them replaces."""
    names = {rule.name for rule in rules}
    return (*rules, *(rule for rule in BUILT_IN if rule.name not in names))
