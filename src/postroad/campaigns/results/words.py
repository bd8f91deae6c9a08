"""What servers say when they do not take a mail: the built-in table of words and what they mean. Pure data.

In order: the first row that fits decides. A row fits when its phrases stand in the text in their order, `*`
standing for anything between; case and blanks do not count. An administrator's rows come before these
(`rules.py`), and are written in the same way.

The numbers are the failure types of our page (C.1). A refusal for its content or its sender's repute by the
recipient's server is 3, recipient refused; 5 is what the platform itself judged and never sent.
"""

from __future__ import annotations

from dataclasses import dataclass

NOT_EXIST, OVER_QUOTA, USER_REJECT, RUBBISH, INVALID, MALFORMED = 1, 2, 3, 5, 8, 9


@dataclass(frozen=True, slots=True)
class Rule:
    """Words and what they mean. `is_temporary` None: as the reply's code says."""

    pattern: str
    failure: int
    is_temporary: bool | None = None
    asks_for_less: bool = False


def _rows(
    failure: int, patterns: str, *, temporary: bool | None = None, asks_for_less: bool = False
) -> list[Rule]:
    return [
        Rule(pattern.strip(), failure, temporary, asks_for_less) for pattern in patterns.strip().splitlines()
    ]


BUILT_IN: tuple[Rule, ...] = (
    # Asks for less or for later, with whatever code (QQ and NetEase give 550 for it).
    *_rows(
        USER_REJECT,
        """
        frequency limited
        frequency exceed
        too many connections
        too many concurrent
        too many messages
        too many mails
        too many emails
        too many recipients
        too much mail
        too much recipient
        rate limit
        rate-limit
        ratelimit
        throttl
        exceed*sending limit
        exceed*daily limit
        receiving mail too quickly
        receiving mail at a rate
        unusual rate of
        temporarily deferred
        temporarily rate
        connection limit
        sending too fast
        HL:REP
        HL:ICC
        HL:IFC
        HL:MEP
        MI:CEL
        MI:DMC
        MI:CCL
        MI:STC
        RP:DRC
        RP:CCL
        [TSS04]
        [TS01]
        频率*限制
        发送过于频繁
        发信频率
        连接数过多
        连接过多
        超出*发送限制
        送信数の制限
        zu viele verbindungen
        """,
        temporary=True,
        asks_for_less=True,
    ),
    # The mailbox is full.
    *_rows(
        OVER_QUOTA,
        """
        over quota
        overquota
        over-quota
        quota exceeded
        quota is exceeded
        quota exceed
        exceed*quota
        exceeds*mailbox size
        exceeded*storage
        exceeded*mailbox
        over*storage limit
        mailbox full
        mailbox is full
        mailbox*size limit
        mailbox for*is full
        inbox is full
        inbox full
        user is over
        out of storage
        out of disk space
        insufficient disk
        insufficient storage
        insufficient system storage
        no space left
        not enough storage
        not enough space
        not enough disk
        diskquota
        disk quota
        disk full
        storage quota
        space of the mailbox
        mailfolder is full
        mail box*full
        maximum*mailbox size
        quota voll
        空间不足
        容量已满
        容量不足
        邮箱已满
        邮箱满
        信箱已满
        信箱容量
        空间已满
        超出配额
        超过配额
        超出*容量
        超过*容量
        信箱空間
        容量が
        容量を超
        容量オーバー
        メールボックスが一杯
        メールボックスがいっぱい
        メールボックスは一杯
        postfach ist voll
        postfach voll
        postfach*überfüllt
        speicherplatz
        speicherlimit
        mailbox*überschritten
        """,
    ),
    *_rows(
        USER_REJECT,
        """
        greylist
        graylist
        grey-list
        gray-list
        try again later
        please retry later
        try later
        come back later
        please try again in
        temporarily unavailable
        temporary failure
        temporary local problem
        temporary lookup failure
        temporarily rejected
        service unavailable*try
        resources temporarily
        稍后再试
        稍后重试
        请稍候
        后再试
        暂时无法
        しばらくしてから
        später erneut
        später noch einmal
        vorübergehend
        """,
        temporary=None,
    ),
    # About the sender, though it speaks of domains and addresses not found.
    *_rows(
        USER_REJECT,
        """
        sender address rejected
        domain may not exist
        sender rejected
        sender verify failed
        sender domain
        domain of sender
        sender's domain
        mail from*rejected
        envelope sender
        spf check
        spf fail
        fails spf
        dmarc
        dkim
        reverse dns
        ptr record
        helo
        DT:SUM
        DT:SPF
        发件人域名
        """,
    ),
    # Content and repute.
    *_rows(
        USER_REJECT,
        """
        spam
        unsolicited
        junk
        phish
        virus
        malware
        blacklist
        black list
        blocklist
        block list
        blocked using
        blocked by
        is blocked
        been blocked
        block messages from your
        dnsbl
        spamhaus
        barracuda
        spamcop
        poor reputation
        low reputation
        bad reputation
        reputation of
        mail content denied
        content rejected
        content*not acceptable
        message content
        content policy
        content filter
        DT:SPM
        DT:RBL
        WM:BLI
        WM:BLU
        HL:IPB
        HL:IHU
        MI:SPB
        RP:FRL
        suspected bounce
        bounce attack
        bulk mail
        ip is rejected
        垃圾邮件
        黑名单
        病毒
        内容*拒绝
        被*屏蔽
        被判定为
        反垃圾
        迷惑メール
        スパム
        ウイルス
        """,
    ),
    # The address leads nowhere: said of a domain or a host, before a mailbox is thought of.
    *_rows(
        INVALID,
        """
        domain not found
        unknown domain
        no such domain
        domain does not exist
        domain doesn't exist
        domain name does not exist
        dns domain*does not exist
        infodomainnonexistent
        域名*不存在
        domain couldn't be found
        domain isn't
        no such host
        host not found
        host unknown
        host or domain name not found
        name or service not known
        name service error
        nxdomain
        null mx
        no mx
        no mail servers
        all relevant mx records point to non-existent
        unrouteable address
        unroutable address
        unrouteable domain
        unrouteable mail domain
        unable to route
        cannot find*mx
        couldn't find any host
        could not find any host
        cannot resolve
        dns type 'mx' lookup
        dns error
        relay access denied
        relaying denied
        relay denied
        relay not permitted
        relaying not
        relaying to*not
        unable to relay
        not permitted to relay
        not relay
        域名不存在
        域名无法解析
        无法解析
        找不到*域名
        ドメインが見つかり
        ドメインは存在しません
        ドメインが存在しません
        domäne*nicht gefunden
        domain*nicht gefunden
        host*nicht gefunden
        unbekannte domain
        """,
    ),
    # The mailbox does not exist, or does not any more.
    *_rows(
        NOT_EXIST,
        """
        user unknown
        unknown user
        unknown recipient
        unknown address
        unknown mailbox
        unknown local part
        unknown local-part
        recipient unknown
        recipient*is unknown
        address unknown
        mailbox unknown
        no such user
        no such recipient
        no such mailbox
        no such account
        no such person
        no such address
        no such local user
        no such email
        no such name
        no mailbox
        no mail box
        no user
        no account by that name
        no valid recipient
        not a valid mailbox
        not a valid recipient
        not a valid user
        not a known user
        not a local mailbox
        not our customer
        not listed in
        not in directory
        not in my
        not found in directory
        recipient not found
        recipientnotfound
        user not found
        user*not found
        mailbox not found
        mailbox*not found
        account not found
        address not found
        email address*couldn't be found
        email address*could not be found
        address couldn't be found
        not exist
        doesn't exist
        does not exist
        didn't exist
        doesnt exist
        non-existent
        nonexistent
        unable to receive mail
        invalid recipient
        invalid mailbox
        invalid user
        invalid rcptto
        invalid address
        recipient invalid
        recipient*is invalid
        bad destination mailbox
        mailbox unavailable
        mailbox is unavailable
        mailbox currently unavailable
        mailbox disabled
        mailbox is disabled
        mailbox has been disabled
        mailbox is inactive
        account has been disabled
        account disabled
        account is disabled
        account*disabled
        account inactive
        account is inactive
        account suspended
        account has been suspended
        account*deactivated
        account closed
        user suspended
        user is disabled
        user disabled
        user account is unavailable
        user is locked
        user doesn't have a*account
        user*no longer
        recipient no longer
        no longer available
        no longer valid
        no longer in use
        no longer active
        has left
        recipient address rejected: access denied
        requested action not taken: mailbox
        this address no longer accepts mail
        address is not valid
        addressee unknown
        does not have an account
        not a user
        cannot find*user
        unrouteable mail address for user
        unknown or illegal alias
        unknown or invalid
        undeliverable address
        user does not
        is not a member of
        用户*不存在
        用户名不存在
        收件人*不存在
        收信人不存在
        邮箱不存在
        信箱不存在
        帐号不存在
        账号不存在
        帐户不存在
        账户不存在
        地址*不存在
        无此用户
        没有此用户
        没有这个用户
        没有找到*用户
        找不到*收件人
        找不到*用户
        不是有效的
        收件人*有误
        邮箱*停用
        邮箱*禁用
        帐号*停用
        账号*停用
        帐号*冻结
        账号*冻结
        账号*注销
        已注销
        使用者不存在
        無此
        查無此
        ユーザーが見つかり
        ユーザが見つかり
        ユーザーは存在しません
        ユーザは存在しません
        は存在しません
        宛先が見つかり
        宛先不明
        あて先*見つかり
        メールアドレスが存在しない
        アドレスが見つかり
        無効なメールアドレス
        benutzer*unbekannt
        empfänger*unbekannt
        empfängeradresse*nicht
        adresse*unbekannt
        existiert nicht
        nicht bekannt
        unbekannter empfänger
        unbekannter benutzer
        unbekannte adresse
        postfach*nicht gefunden
        postfach*nicht verfügbar
        empfänger*nicht gefunden
        wurde nicht gefunden
        kein postfach
        ist ungültig
        """,
    ),
    *_rows(
        INVALID,
        """
        domain*not found
        domain*unknown
        host*not found
        can't find*domain
        couldn't find*domain
        domain*existiert
        域名*错误
        域名*无效
        does not accept mail
        doesn't accept mail
        """,
    ),
    *_rows(
        MALFORMED,
        """
        bad address syntax
        bad recipient address syntax
        malformed address
        syntax error in address
        address syntax
        illegal address
        格式错误
        格式不正确
        地址格式
        """,
    ),
    # Whatever else a receiver does not want.
    *_rows(
        USER_REJECT,
        """
        policy
        denied
        rejected
        refused
        prohibited
        not allowed
        not permitted
        not authorized
        not authorised
        not accept
        restricted
        message too large
        message size exceeds
        message is too large
        exceeds*size limit
        too big
        拒收
        拒绝
        过大
        太大
        大小超过
        拒否
        大きすぎ
        abgelehnt
        verweigert
        zu groß
        """,
    ),
)
