"""All settings: one typed tree, a file a section; the tree and its reading are in `settings.py`."""

from postroad.config.api import Api
from postroad.config.campaigns import CampaignSending
from postroad.config.ctrl import Ctrl
from postroad.config.delivery import Delivery
from postroad.config.edm import Edm
from postroad.config.imap import Imap
from postroad.config.listen import Listen
from postroad.config.log import Log
from postroad.config.notifications import Notifications
from postroad.config.oa import Integration, Oa
from postroad.config.pop3 import Pop3
from postroad.config.section import LOOPBACK, MEBIBYTE, Section
from postroad.config.settings import BadSettings, Settings, load
from postroad.config.shaping import ShapingRule
from postroad.config.sign_in import SignInLimits
from postroad.config.smtp import OwnDomains, Smtp
from postroad.config.storage import Storage
from postroad.config.tls import Tls
from postroad.config.web import Web

__all__ = [
    "LOOPBACK",
    "MEBIBYTE",
    "Api",
    "BadSettings",
    "CampaignSending",
    "Ctrl",
    "Delivery",
    "Edm",
    "Imap",
    "Integration",
    "Listen",
    "Log",
    "Notifications",
    "Oa",
    "OwnDomains",
    "Pop3",
    "Section",
    "Settings",
    "ShapingRule",
    "SignInLimits",
    "Smtp",
    "Storage",
    "Tls",
    "Web",
    "load",
]
