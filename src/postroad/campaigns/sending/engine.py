"""The sending engine of one worker, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from postroad.campaigns.credits import Credits
from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.results.rules import ReplyRules
from postroad.campaigns.sending.beginning import Beginning
from postroad.campaigns.sending.ending import Ending
from postroad.campaigns.sending.halting import Halting
from postroad.campaigns.sending.ledger import Ledger
from postroad.campaigns.sending.own_rates import OwnRates
from postroad.campaigns.sending.recipes import Keys, Places, Recipes
from postroad.campaigns.sending.settling import Holdings, Settling
from postroad.campaigns.sending.source import CampaignSource
from postroad.campaigns.sending.taking_in import TakingIn
from postroad.campaigns.sending.watch import Watch
from postroad.config import Settings
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, Announce
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.presence import Presence


class Engine:
    """What sends campaigns. `source` joins delivery, `watch.run` goes on beside it, `orders` are given to
    it.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keys: Keys,
        announcer: Announce,
        tasks: TaskSupervisor,
        clock: Callable[[], datetime],
        schedule: Schedule | None = None,
    ) -> None:
        """`keys` are the directory's, for domains whose customers have none; `schedule` is for tests."""
        self._database = database
        self._tasks = tasks
        self._clock = clock
        self._zone = settings.edm.timezone
        self._late = timedelta(seconds=settings.campaigns.late_seconds)
        self._schedule = schedule or Schedule(lifetime=timedelta(seconds=settings.campaigns.lifetime_seconds))
        places = Places(
            settings.edm.tracking_url or f"https://{settings.hostname}",
            (settings.edm.bounce_domain or settings.hostname).lower(),
        )
        self.recipes = Recipes(database, keys, SealingKeys(database), places)
        self._rules = ReplyRules(database)
        self._on_more = partial(announcer.announce, QUEUE_CHANNEL)
        self.watch = Watch(
            database,
            Beginning(database, Credits(database, self._zone), self._zone),
            Ending(database, self._zone),
            self._late,
            self._on_more,
        )
        self.taking_in = TakingIn()
        self.orders = Halting(database, announcer, self.watch.wake)

    def source(self, presence: Presence) -> CampaignSource:
        """The ledger as a source of a worker's delivery."""
        ledger = Ledger(self._database, OwnRates(self._database), self._zone, self._late, self._on_more)
        holdings = Holdings()
        settling = Settling(
            self._database,
            ledger,
            holdings,
            presence,
            self._tasks,
            self._schedule,
            self._rules,
            self._zone,
        )
        return CampaignSource(
            self._database, ledger, holdings, self.recipes, settling, presence, self.taking_in, self._clock
        )
