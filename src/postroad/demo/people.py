"""Who appears in the demo: a tea exporter's three colleagues and the people they write with.

Every outside domain is reserved for examples (RFC 2606), so nothing here can ever reach a stranger.
"""

from __future__ import annotations

from dataclasses import dataclass

DOMAIN = "demo.postroad.test"


@dataclass(frozen=True, slots=True)
class Person:
    """A name and an address, as they stand in a From or To field."""

    name: str
    address: str


CHEN = Person("陈思远", f"chen.siyuan@{DOMAIN}")
ALICE = Person("Alice Morgan", f"alice.morgan@{DOMAIN}")
LIN = Person("林婉清", f"lin.wanqing@{DOMAIN}")
COLLEAGUES = (CHEN, ALICE, LIN)

TEAM = Person("全体同事 Team", f"team@{DOMAIN}")  # a distribution list
SALES = Person("Sales", f"sales@{DOMAIN}")  # an alias of Chen and Alice

JONAS = Person("Jonas Weber", "jonas.weber@nordwind-import.example")
MARIE = Person("Marie Dubois", "m.dubois@maison-du-the.example")
PRIYA = Person("Priya Nair", "priya@harbour-logistics.example")
ZHOU = Person("周建国", "zhou.jianguo@lanxi-packaging.example")
WANG = Person("王芳", "wangfang@yunling-farm.example")
BANK = Person("江南银行企业网银", "notice@jiangnan-bank.example")
EXPO = Person("Asia Tea Expo", "hello@asia-tea-expo.example")
NEWS = Person("茶业周刊 Tea Weekly", "weekly@tea-weekly.example")
TRAVEL = Person("Skyline Travel", "itinerary@skyline-travel.example")
LAWYER = Person("何律师事务所", "contracts@he-law.example")
PRINTER = Person("Tom Becker", "tom@becker-print.example")
SERVER = Person("Mail Delivery System", f"postmaster@{DOMAIN}")
GUILD = Person("Tea Exporters Forum", "exporters@lists.tea-guild.example")
STRANGER = Person("Lucky Winner Dept.", "claim@prize-office.invalid")
