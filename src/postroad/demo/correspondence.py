"""What the demo company's people write to each other and to their partners: letters in Chinese and English.

Only content. The newest stand first. Invented from beginning to end.
"""

from __future__ import annotations

from postroad.demo.attachments import archive, bar_chart, hills, pdf, seal, spreadsheet
from postroad.demo.letter import ANSWERED, READ, STARRED, UNREAD, At, Box, File, Letter, Place
from postroad.demo.people import (
    ALICE,
    BANK,
    CHEN,
    JONAS,
    LAWYER,
    LIN,
    MARIE,
    PRINTER,
    PRIYA,
    SALES,
    TEAM,
    WANG,
    ZHOU,
)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

EUROPE = "客户 Customers/欧洲 Europe"
CONTRACTS = "合同 Contracts"
INVOICES = "发票 Invoices"

# ---- a conversation between the three, over several days

SPRING = (
    Letter(
        "spring-order-1",
        At(4, 10, 12),
        CHEN,
        (ALICE, LIN),
        "春茶欧洲首单：排期与付款条件",
        "Alice、婉清：\n\nNordwind 昨晚确认了春茶首单：明前龙井 600 公斤、白毫银针 240 公斤，希望四周内到汉堡。\n\n"
        "需要我们这边定三件事：\n"
        "  1. 包装：他们要 50 克铁罐，需要兰溪那边确认产能；\n"
        "  2. 运输：海运时间不够，是否走中欧班列；\n"
        "  3. 付款：对方希望 30/70，我倾向于 40/60。\n\n"
        "请各自看一下自己那部分，周五前给我意见。\n\n陈思远\n",
        (Place(CHEN, Box.SENT), Place(ALICE, flags=ANSWERED), Place(LIN, flags=ANSWERED)),
    ),
    Letter(
        "spring-order-2",
        At(4, 14, 40),
        ALICE,
        (CHEN,),
        "Re: 春茶欧洲首单：排期与付款条件",
        "Siyuan,\n\nrail works: Priya can hold two pallets on the Yiwu-Duisburg train leaving in nine days, "
        "about 16 days door to door. Sea would be 34. The difference is roughly EUR 0.85 per kilo, which the "
        "price we quoted still carries.\n\nOn payment I would open with 40/60 and settle for 30/70 against a "
        "letter of credit. Jonas has paid on time for three years.\n\nAlice\n\n"
        "> 需要我们这边定三件事：\n>   2. 运输：海运时间不够，是否走中欧班列；\n",
        (Place(ALICE, Box.SENT), Place(CHEN, flags=READ), Place(LIN, flags=READ)),
        cc=(LIN,),
        answers="spring-order-1",
    ),
    Letter(
        "spring-order-3",
        At(3, 9, 5),
        LIN,
        (CHEN,),
        "Re: 春茶欧洲首单：排期与付款条件",
        "思远，你好：\n\n财务这边的意见：\n\n"
        "  - 30/70 可以接受，但尾款要凭提单付款，不要凭到货验收；\n"
        "  - 欧元报价请锁定到月底，附件里是按三种汇率测算的毛利；\n"
        "  - 铁罐押金 18,600 元需要这周付给兰溪，请走一下审批。\n\n婉清\n",
        (Place(LIN, Box.SENT), Place(CHEN, flags=STARRED), Place(ALICE, flags=READ)),
        cc=(ALICE,),
        answers="spring-order-2",
        files=(
            File(
                "春茶首单毛利测算.xlsx",
                XLSX,
                spreadsheet(
                    "毛利测算",
                    [
                        ["品名", "数量 (kg)", "单价 (EUR)", "汇率 7.6", "汇率 7.8", "汇率 8.0"],
                        ["明前龙井", 600, 92.5, 0.312, 0.329, 0.345],
                        ["白毫银针", 240, 118, 0.348, 0.364, 0.380],
                        ["合计", 840, 99.79, 0.324, 0.341, 0.357],
                    ],
                ),
            ),
        ),
    ),
    Letter(
        "spring-order-4",
        At(1, 16, 22),
        CHEN,
        (LIN, ALICE),
        "Re: 春茶欧洲首单：排期与付款条件",
        "两位辛苦。就按 30/70、尾款凭提单执行，班列的两个托盘请 Alice 今天确认。\n\n"
        "押金审批我已经提交，婉清收到后请直接付。合同初稿何律师明天给。\n\n陈思远\n",
        (Place(CHEN, Box.SENT), Place(LIN, flags=READ), Place(ALICE, flags=ANSWERED)),
        answers="spring-order-3",
    ),
    Letter(
        "spring-order-5",
        At(minutes_ago=14),
        ALICE,
        (CHEN, LIN),
        "Re: 春茶欧洲首单：排期与付款条件",
        "Done: two pallets are booked on the train of the 28th, booking number YW-DUI-40417.\n\n"
        "Jonas is happy with 30/70 against the bill of lading and will sign as soon as the contract is there. "
        "He also asks whether we could add 40 kg of osmanthus oolong as samples. I would say yes.\n\nAlice\n",
        (Place(ALICE, Box.SENT), Place(CHEN, flags=UNREAD), Place(LIN, flags=UNREAD)),
        answers="spring-order-4",
    ),
)

# ---- today and yesterday, mostly in Chen's inbox

RECENT = (
    Letter(
        "contract-draft",
        At(minutes_ago=47),
        LAWYER,
        (CHEN,),
        "Nordwind 供货合同初稿（中英对照）",
        "陈总：\n\n供货合同初稿已完成，见附件。请重点看三处：\n\n"
        "  第 4 条  付款：已按 30/70、尾款凭提单起草；\n"
        "  第 7 条  质量异议期：对方通常要求 45 天，我们写的是 21 天；\n"
        "  第 11 条 争议解决：建议约定新加坡国际仲裁中心。\n\n"
        "如无意见，明天上午可以发给对方律师。\n\n何律师\n",
        (Place(CHEN, flags=UNREAD),),
        files=(
            File(
                "Supply-Agreement-Nordwind-draft.pdf",
                "application/pdf",
                pdf(
                    "Supply Agreement (draft)",
                    [
                        "between Yunling Tea Co., Ltd. and Nordwind Import GmbH",
                        "",
                        "1. Goods: 600 kg Longjing (pre-Qingming), 240 kg Baihao Yinzhen",
                        "2. Packing: tins of 50 g, cartons of 48",
                        "3. Delivery: DAP Hamburg, by rail through Duisburg",
                        "4. Payment: 30 % with the order, 70 % against the bill of lading",
                        "7. Claims for quality: within 21 days of arrival",
                        "11. Disputes: Singapore International Arbitration Centre",
                    ],
                ),
            ),
        ),
    ),
    Letter(
        "tins-ready",
        At(minutes_ago=96),
        ZHOU,
        (CHEN,),
        "50 克铁罐打样已完成，请确认颜色",
        "陈总好：\n\n铁罐打样昨天下午出来了，深绿底、烫哑金，照片在附件。实物今天用顺丰寄出，明天上午能到。\n\n"
        "确认后 12 天可以交第一批 9,000 只。\n\n兰溪包装  周建国\n",
        (Place(CHEN, flags=UNREAD),),
        files=(
            File("打样照片-1.png", "image/png", hills(360, 240)),
            File("色卡.png", "image/png", seal(160)),
        ),
    ),
    Letter(
        "jonas-samples",
        At(minutes_ago=171),
        JONAS,
        (SALES,),
        "Samples for the autumn list",
        "Dear Siyuan, dear Alice,\n\nthank you for the quick answer on the spring order. For the autumn list "
        "our buyers would like to taste:\n\n  - osmanthus oolong, two roasts\n  - aged white tea, 2021 or older\n"
        "  - a smoky lapsang without added aroma\n\n200 g each is plenty. If they leave this week they reach "
        "Hamburg before our tasting on the 12th.\n\nKind regards\nJonas Weber\nNordwind Import GmbH\n",
        (Place(CHEN, flags=READ), Place(ALICE, flags=UNREAD)),
    ),
    Letter(
        "weekly-figures",
        At(1, 18, 5),
        LIN,
        (TEAM,),
        "本周销售与回款周报",
        "各位同事：\n\n本周销售额 128.6 万元，环比增长 12%；回款 94.3 万元，逾期 1 笔（已联系）。图表见正文。\n\n林婉清\n",
        (
            Place(CHEN, flags=STARRED, keywords=("$label1",)),
            Place(ALICE, flags=READ),
            Place(LIN, Box.SENT),
            Place(LIN, flags=READ),
        ),
        html="""<html><body style="font-family:'PingFang SC','Microsoft YaHei',sans-serif;color:#24312b">
<h2 style="color:#26705a;margin-bottom:4px">本周销售与回款</h2>
<p style="margin-top:0;color:#6b7a73">第 1 至 7 天 · 单位：万元</p>
<p><img src="cid:chart-weekly" width="560" height="260" alt="每日销售额柱状图"></p>
<table cellpadding="6" style="border-collapse:collapse">
<tr style="background:#eef4f0"><th align="left">项目</th><th>本周</th><th>上周</th><th>变化</th></tr>
<tr><td>销售额</td><td align="right">128.6</td><td align="right">114.8</td><td style="color:#26705a">+12.0%</td></tr>
<tr><td>回款</td><td align="right">94.3</td><td align="right">101.2</td><td style="color:#b4472e">-6.8%</td></tr>
<tr><td>新客户</td><td align="right">5</td><td align="right">3</td><td style="color:#26705a">+2</td></tr>
</table>
<p>逾期一笔（Maison du Thé，3.2 万元），已联系，下周二付款。</p>
<p>林婉清</p></body></html>""",
        files=(
            File(
                "chart.png", "image/png", bar_chart((12, 17, 15, 22, 26, 19, 18)), content_id="chart-weekly"
            ),
        ),
        headers={"List-Id": "全体同事 <team.demo.postroad.test>"},
    ),
    Letter(
        "rail-booking",
        At(1, 11, 48),
        PRIYA,
        (ALICE,),
        "Booking confirmed: Yiwu - Duisburg, 2 pallets",
        "Hi Alice,\n\nyour two pallets are confirmed.\n\n  Booking   YW-DUI-40417\n  Cut-off   the 26th, 16:00, "
        "Yiwu West\n  Transit   16 days, customs at Malaszewicze included\n\nThe packing list and the "
        "phytosanitary certificates should reach us two days before cut-off. The forms are in the archive.\n\n"
        "Best\nPriya\nHarbour Logistics\n",
        (Place(ALICE, flags=STARRED), Place(CHEN, flags=READ)),
        cc=(CHEN,),
        files=(
            File(
                "customs-forms.zip",
                "application/zip",
                archive(
                    {
                        "packing-list.csv": b"carton,item,pieces,gross_kg\r\n1,Longjing 50 g,48,3.9\r\n",
                        "phytosanitary.txt": b"Certificate of origin: Hangzhou, Zhejiang\r\n",
                        "说明.txt": "请在截单前两天提交。\r\n".encode(),
                    }
                ),
            ),
        ),
    ),
    Letter(
        "bank-advice",
        At(1, 8, 31),
        BANK,
        (LIN,),
        "入账通知：EUR 24,780.00",
        "尊敬的客户：\n\n贵公司尾号 3306 的账户于今日 08:27 收到一笔境外汇款。\n\n"
        "  汇款人    NORDWIND IMPORT GMBH\n  金额      EUR 24,780.00\n  附言      DEPOSIT 30 PCT SPRING ORDER\n\n"
        "本邮件由系统发送，请勿回复。\n",
        (Place(LIN, flags=STARRED), Place(CHEN, flags=READ)),
        cc=(CHEN,),
    ),
    Letter(
        "harvest-note",
        At(2, 7, 15),
        WANG,
        (CHEN,),
        "今年的头采比去年早六天",
        "思远：\n\n山上这几天放晴，头采从昨天开始了，比去年早六天。芽头匀整，预计明前能出 900 公斤干茶，"
        "比约定的多一点。你要是有时间，周末上来看看。\n\n拍了张早上的照片给你。\n\n王芳\n",
        (Place(CHEN, flags=STARRED),),
        files=(File("梯田-早晨.png", "image/png", hills()),),
    ),
)

# ---- the weeks before

EARLIER = (
    Letter(
        "lunch",
        At(2, 11, 20),
        LIN,
        (CHEN, ALICE),
        "中午一起吃饭？",
        "楼下新开的那家面馆，12 点一刻，我先去占位子。\n",
        (Place(CHEN, flags=ANSWERED), Place(ALICE, flags=READ), Place(LIN, Box.SENT)),
    ),
    Letter(
        "lunch-answer",
        At(2, 11, 31),
        CHEN,
        (LIN, ALICE),
        "Re: 中午一起吃饭？",
        "好，我带 Jonas 送的饼干。\n",
        (Place(CHEN, Box.SENT), Place(LIN, flags=READ), Place(ALICE, flags=READ)),
        answers="lunch",
    ),
    Letter(
        "marie-invoice",
        At(5, 15, 10),
        MARIE,
        (ALICE,),
        "Facture du mois dernier – virement mardi",
        "Bonjour Alice,\n\ndésolée pour le retard : notre comptable était en congé. Le virement de la facture "
        "n° 2117 partira mardi. La clientèle adore le thé blanc, nous en reprendrons en avril.\n\n"
        "Bien à vous,\nMarie Dubois\nMaison du Thé, Lyon\n",
        (Place(ALICE, flags=ANSWERED), Place(LIN, flags=READ)),
        cc=(LIN,),
    ),
    Letter(
        "marie-answer",
        At(5, 16, 2),
        ALICE,
        (MARIE,),
        "Re: Facture du mois dernier – virement mardi",
        "Bonjour Marie,\n\nmerci pour votre message, mardi nous convient très bien. Je vous réserve 15 kg de "
        "thé blanc de la récolte de printemps.\n\nÀ bientôt\nAlice\n",
        (Place(ALICE, Box.SENT),),
        answers="marie-invoice",
    ),
    Letter(
        "invoice-march",
        At(6, 10, 0),
        LIN,
        (CHEN,),
        "请审批：兰溪包装三月账单",
        "思远：\n\n兰溪三月账单 46,320 元，与入库单核对一致，请审批。附件是扫描件。\n\n婉清\n",
        (Place(CHEN, INVOICES, ANSWERED), Place(LIN, Box.SENT)),
        files=(
            File(
                "LX-2026-0318.pdf",
                "application/pdf",
                pdf(
                    "Invoice LX-2026-0318",
                    ["Lanxi Packaging", "9,264 tins at CNY 5.00", "Total CNY 46,320.00"],
                ),
            ),
        ),
    ),
    Letter(
        "invoice-approved",
        At(6, 13, 45),
        CHEN,
        (LIN,),
        "Re: 请审批：兰溪包装三月账单",
        "同意付款。\n",
        (Place(CHEN, Box.SENT), Place(LIN, flags=READ)),
        answers="invoice-march",
    ),
    Letter(
        "catalogue-proof",
        At(7, 17, 33),
        PRINTER,
        (ALICE, CHEN),
        "Catalogue: last proof before printing",
        "Hello both,\n\nattached is the last proof. Two questions from our side:\n\n  - page 6: the green looks "
        "darker in print than on screen; shall we lift it by 8 %?\n  - page 11: the Chinese headline is "
        "one character longer than the box. Could it lose one?\n\nWe start the press on Thursday.\n\nTom\n",
        (Place(ALICE, flags=ANSWERED), Place(CHEN, Box.ARCHIVE, READ)),
        files=(
            File(
                "catalogue-proof-3.pdf",
                "application/pdf",
                pdf("Catalogue, proof 3", ["Page 6: Longjing", "Page 11: Baihao Yinzhen"]),
            ),
        ),
    ),
    Letter(
        "nordwind-signed-nda",
        At(9, 10, 26),
        JONAS,
        (CHEN,),
        "Signed confidentiality agreement",
        "Dear Siyuan,\n\nplease find our signed copy attached.\n\nKind regards\nJonas Weber\n",
        (Place(CHEN, CONTRACTS, STARRED),),
        files=(
            File(
                "NDA-signed.pdf",
                "application/pdf",
                pdf("Confidentiality agreement", ["Signed in Hamburg", "J. Weber"]),
            ),
        ),
    ),
    Letter(
        "jonas-first",
        At(12, 21, 4),
        JONAS,
        (SALES,),
        "Enquiry: spring teas for 140 shops",
        "Dear team,\n\nwe run 140 shops in northern Germany and Denmark and would like to carry your spring teas. "
        "Could you send a price list for 500 to 1,000 kg, DAP Hamburg, with tins of 50 g?\n\n"
        "Kind regards\nJonas Weber\nNordwind Import GmbH\n",
        (Place(CHEN, EUROPE, ANSWERED), Place(ALICE, EUROPE, READ)),
    ),
    Letter(
        "jonas-quote",
        At(11, 9, 30),
        CHEN,
        (JONAS,),
        "Re: Enquiry: spring teas for 140 shops",
        "Dear Jonas,\n\nthank you for your enquiry. The price list is attached; all prices are DAP Hamburg and "
        "valid to the end of the month.\n\nBest regards\n陈思远 Chen Siyuan\nYunling Tea\n",
        (Place(CHEN, Box.SENT), Place(ALICE, EUROPE, READ)),
        cc=(ALICE,),
        answers="jonas-first",
        files=(
            File(
                "price-list-spring.xlsx",
                XLSX,
                spreadsheet(
                    "Spring",
                    [
                        ["Tea", "500 kg, EUR/kg", "1,000 kg, EUR/kg"],
                        ["Longjing, pre-Qingming", 96, 92.5],
                        ["Baihao Yinzhen", 124, 118],
                        ["Osmanthus oolong", 58, 54],
                    ],
                ),
            ),
        ),
    ),
    Letter(
        "holiday-plan",
        At(14, 9, 0),
        LIN,
        (TEAM,),
        "五一值班安排",
        "各位：\n\n五一期间值班如下：\n  1 日  Alice\n  2 日  陈思远\n  3 日  林婉清\n\n有调整请自行协商后告诉我。\n\n林婉清\n",
        (Place(CHEN, flags=READ), Place(ALICE, flags=READ), Place(LIN, Box.SENT)),
        headers={"List-Id": "全体同事 <team.demo.postroad.test>"},
    ),
    Letter(
        "welcome-note",
        At(21, 9, 30),
        CHEN,
        (TEAM,),
        "邮箱迁移完成 · Our mail has moved",
        "各位同事：\n\n公司邮箱今天已迁移到 Postroad，旧邮件都在。网页登录后可以在右上角切换中英文。\n\n"
        "Dear all,\n\nour mail now runs on Postroad; all old mail came along. The language can be switched at "
        "the top right after signing in.\n\n陈思远\n",
        (Place(CHEN, Box.SENT), Place(ALICE, Box.ARCHIVE, READ), Place(LIN, Box.ARCHIVE, READ)),
        headers={"List-Id": "全体同事 <team.demo.postroad.test>"},
    ),
)

# ---- not sent yet

DRAFTS = (
    Letter(
        "draft-jonas",
        At(minutes_ago=31),
        CHEN,
        (JONAS,),
        "Re: Samples for the autumn list",
        "Dear Jonas,\n\nthe samples leave tomorrow by courier. I added a small tin of this spring's first "
        "picking, it is\n",
        (Place(CHEN, Box.DRAFTS, READ),),
        answers="jonas-samples",
    ),
    Letter(
        "draft-report",
        At(3, 19, 12),
        LIN,
        (TEAM,),
        "二季度预算（草稿）",
        "各位同事：\n\n二季度预算初步如下，待思远确认后再发：\n\n  - 展会 18 万\n  - 包装 52 万\n  - 物流\n",
        (Place(LIN, Box.DRAFTS, READ),),
    ),
)

LETTERS = (*SPRING, *RECENT, *EARLIER, *DRAFTS)
