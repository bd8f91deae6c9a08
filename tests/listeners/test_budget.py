"""Memory that all sessions share: who holds most gives up what has waited longest."""

from __future__ import annotations

from dataclasses import dataclass

from postroad.listeners.budget import ContentBudget, Share


@dataclass(eq=False)
class Somebody:
    """A session: waiting since a time, or at work."""

    waiting_since: float | None
    went: bool = False

    def let_go(self) -> None:
        """Note that it was asked."""
        self.went = True


def holding(budget: ContentBudget, address: str, since: float | None, held: int) -> tuple[Somebody, Share]:
    somebody = Somebody(since)
    share = budget.share(address, somebody)
    share.hold(held)
    return somebody, share


def test_whoever_holds_most_lets_go_of_the_idlest() -> None:
    budget = ContentBudget(800)
    crowd = [holding(budget, "192.0.2.1", float(since), 200)[0] for since in (3, 1, 2)]
    other, _ = holding(budget, "192.0.2.2", 0.0, 150)
    assert budget.held == 750
    newcomer, share = holding(budget, "192.0.2.3", 9.0, 40)
    assert not any(each.went for each in crowd)
    assert share.hold(100)
    assert [each.went for each in crowd] == [False, True, False]
    assert not other.went
    assert not newcomer.went
    assert budget.held == 650


def test_nobody_at_work_is_asked_and_who_finds_no_room_is_told() -> None:
    budget = ContentBudget(100)
    busy, share = holding(budget, "192.0.2.1", None, 90)
    late = Somebody(None)
    assert not budget.share("192.0.2.2", late).hold(20)
    assert not busy.went
    assert share.hold(0)
    assert budget.held == 20


def test_an_announcement_takes_room_only_of_the_silent() -> None:
    budget = ContentBudget(100)
    lively, _ = holding(budget, "192.0.2.1", 95.0, 60)
    assert not budget.has_room_for(50, now=100.0)
    silent, _ = holding(budget, "192.0.2.1", 10.0, 30)
    assert not budget.has_room_for(101, now=100.0)  # it would not fit into an empty house
    assert [lively.went, silent.went] == [False, False]
    assert budget.has_room_for(40, now=100.0)
    assert [lively.went, silent.went] == [False, True]


def test_many_addresses_of_one_network_are_one_client() -> None:
    budget = ContentBudget(100)
    crowd = [holding(budget, f"2001:db8:1:2::{number:x}", float(number), 30)[0] for number in range(1, 4)]
    own, _ = holding(budget, "192.0.2.9", 0.0, 40)
    assert crowd[0].went
    assert not own.went
