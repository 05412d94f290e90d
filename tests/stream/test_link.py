"""The link machine, told events and times as in a table. Each way in which peers are known to fail is a row here.

`Peer` drives the machine on a clock of its own. No socket is there: what it opened, closed and passed on is looked at.
"""

import itertools
import json
import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from listenkey.errors import (
    ApiError,
    ConfigurationError,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.stream._buffer import Buffer
from listenkey.stream._events import BalancePositionUpdate, Blind, Gap, Item, RiskLevelChange, UnknownEvent
from listenkey.stream._machine import Action, Command, Link
from listenkey.stream._pace import Pace
from tests.inside import copies_of, sockets_of

START = datetime(2026, 3, 27, tzinfo=UTC)
KEY, OTHER = "first" * 12, "other" * 12
HOUR = 3600.0
SHUTDOWN = json.dumps({"e": "serverShutdown", "E": 1})


def event(number: int) -> str:
    return json.dumps({"e": "RISK_LEVEL_CHANGE", "E": number, "mb": "1", "mm": str(number)})


def account(number: int) -> str:
    amounts = dict.fromkeys(["eq", "aeq", "b", "m", "u", "i", "M"], "1")
    return json.dumps({"e": "ACCOUNT_UPDATE", "E": number, "T": number, **amounts})


def expired(key: str, at: int = 1) -> str:
    return json.dumps({"e": "listenKeyExpired", "E": str(at), "listenKey": key})


def refusal(status: int) -> ListenKeyError:
    """Name the error that a handshake's status is."""
    if status < 400:
        return UnexpectedResponse(status, "a redirect, which is not followed" if status >= 300 else "no WebSocket")
    kinds = {401: Unauthorized, 429: RateLimited}
    return kinds.get(status, ServerError if status >= 500 else ApiError)(status, None, "refused; check stream_url")


class Peer:
    """A driver with sockets that do as the test says. Time starts at 1000."""

    def __init__(
        self, *, subscribe: bool = False, answer_pings: bool = True, proves: bool = True, seed: int = 1
    ) -> None:
        self.now, self.proves, self.current = 1000.0, proves, KEY
        self.link = Link(self.now, START, KEY, Pace(), Random(seed), subscribe=subscribe)
        self.answer_pings = answer_pings
        self.done: list[tuple[float, Command]] = []
        self.items: list[Item] = []
        self.errors: list[ListenKeyError] = []
        self.obey(self.link.tick(self.now))

    def obey(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Command):
                self.done.append((self.now, action))
                if action.what == "ping" and self.answer_pings:
                    self.obey(self.link.pong(self.now, action.number, self.now))
                if action.what == "prove" and self.proves:
                    self.key(self.current)
            elif isinstance(action, ListenKeyError):
                self.errors.append(action)
            else:
                self.items.append(action)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.link.wake <= end:
            self.now = max(self.now, self.link.wake)
            self.obey(self.link.tick(self.now))
        self.now = end

    def opened(self, number: int) -> None:
        self.obey(self.link.opened(self.now, number))

    def frame(self, number: int, *frames: str) -> None:
        for each in frames:
            self.obey(self.link.frames(self.now, number, [each]))

    def closed(self, number: int, *, clean: bool = False, status: int | None = None) -> None:
        self.obey(self.link.closed(self.now, number, clean=clean, error=None if status is None else refusal(status)))

    def key(self, key: str, age: float = 0.0) -> None:
        self.current = key
        self.obey(self.link.key(self.now, key, self.now - age))

    def did(self, what: str) -> list[int]:
        return [action.number for _, action in self.done if action.what == what]

    def when(self, what: str) -> list[float]:
        return [moment for moment, action in self.done if action.what == what]

    @property
    def story(self) -> list[object]:
        """What the program got: the numbers of events, the reasons of gaps."""
        return [
            each.reason
            if isinstance(each, Gap)
            else int(each.maintenance_margin)
            if isinstance(each, RiskLevelChange)
            else each
            for each in self.items
        ]

    def gap(self, at: int = -1) -> tuple[str, float | None, float]:
        """Return a Gap's reason, since and until, in seconds of the clock."""
        found = [each for each in self.items if isinstance(each, Gap)][at]
        since = None if found.since is None else (found.since - START).total_seconds() + 1000
        return found.reason, since, (found.until - START).total_seconds() + 1000


def running(**options: bool) -> Peer:
    """Return a peer with socket 1 open."""
    peer = Peer(**options)
    peer.opened(1)
    return peer


def holding(**options: bool) -> Peer:
    """Return a peer whose account holds a position: the last event came at 1050, the last answered ping at 1048."""
    peer = running(**options)
    if options.get("subscribe"):
        peer.frame(1, '{"result": null, "id": 1}')
    for i in range(5):
        peer.wait(10)
        peer.frame(1, account(i))
    return peer


def test_it_opens_at_once_and_the_first_item_is_a_gap() -> None:
    peer = Peer()
    assert peer.done == [(1000.0, Command("open", 1, KEY))]
    assert (peer.items, peer.link.connected_since) == ([], None)
    peer.wait(0.5)
    peer.opened(1)
    peer.frame(1, event(1), event(2))
    assert peer.story == ["started", 1, 2]
    assert peer.gap() == ("started", None, 1000.5)
    assert peer.link.connected_since == START + timedelta(seconds=0.5)


class TestRow1TheKeyExpiresAndTheSocketStaysOpen:
    def test_a_fresh_key_is_asked_for_and_used_at_once(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, event(1))
        peer.wait(10)
        peer.frame(1, expired(KEY))
        assert peer.did("renew") == [0]
        peer.wait(3)
        peer.key(OTHER)
        assert peer.done[-1] == (peer.now, Command("open", 2, OTHER))
        peer.wait(1)
        peer.opened(2)
        peer.frame(2, event(2))
        assert peer.story == ["started", 1, "key_expired", 2]
        assert peer.gap() == ("key_expired", 1096.0, 1114.0)  # since the last event, which came after this pong
        assert peer.did("close") == [1]

    def test_it_may_come_twice(self) -> None:
        peer = running()
        peer.frame(1, expired(KEY), expired(KEY))
        peer.key(OTHER)
        peer.opened(2)
        peer.frame(2, expired(KEY))
        peer.frame(1, expired(KEY))
        assert peer.did("renew") == [0]
        assert peer.did("open") == [1, 2]
        assert peer.story == ["started", "key_expired"]

    def test_it_may_name_an_older_key_or_none(self) -> None:
        peer = running()
        peer.frame(1, expired(OTHER))
        assert peer.did("renew") == []
        peer.frame(1, json.dumps({"e": "listenKeyExpired", "E": 5}))
        assert peer.did("renew") == [0]

    def test_the_same_key_proven_alive_again_will_do(self) -> None:
        peer = running()
        peer.wait(50)
        peer.frame(1, expired(KEY))
        peer.key(KEY, age=1)  # proven before
        assert peer.did("open") == [1]
        peer.wait(5)
        peer.key(KEY, age=1)
        peer.opened(2)
        assert peer.gap()[0] == "key_expired"
        peer.frame(2, expired(KEY))  # the second copy
        assert len(peer.did("renew")) == 1

    def test_a_wish_without_effect_is_repeated_and_nothing_is_opened_on_a_dead_key(self) -> None:
        peer = running()
        peer.frame(1, expired(KEY))
        peer.closed(1)
        peer.wait(100)
        assert peer.when("renew") == [1000, 1030, 1060, 1090]
        assert peer.did("open") == [1]


class TestRow2APlannedChangeLosesNothing:
    def change(self) -> Peer:
        peer = running()
        peer.wait(22.4 * HOUR)
        assert peer.did("open") == [1]
        peer.wait(0.65 * HOUR)
        assert peer.did("open") == [1, 2]
        return peer

    def test_the_old_socket_is_read_until_the_new_one_is_there_and_then_drained(self) -> None:
        peer = self.change()
        peer.frame(1, event(1))
        peer.opened(2)
        assert peer.did("close") == [1]
        peer.frame(2, event(2), event(3))  # the old one brought neither yet
        assert peer.story == ["started", 1]
        peer.frame(1, event(2))
        peer.closed(1, clean=True)
        peer.frame(2, event(4))
        assert peer.story == ["started", 1, 2, 3, 4]

    def test_an_old_socket_that_does_not_answer_may_have_been_dead(self) -> None:
        peer = self.change()
        proof = peer.now
        peer.answer_pings = False
        peer.wait(3)
        peer.opened(2)
        peer.frame(2, event(2))
        peer.wait(6)
        assert peer.story == ["started", "reconnected", 2]
        reason, since, until = peer.gap()
        assert reason == "reconnected"
        assert since is not None
        assert since <= proof
        assert until == proof + 3 + 5  # the server may have sent events to the old one alone, up to its end

    def test_an_old_socket_that_the_server_closes_is_a_marked_gap(self) -> None:
        peer = self.change()
        peer.opened(2)
        peer.frame(2, event(2))
        peer.closed(1)
        assert peer.story == ["started", "reconnected", 2]

    def test_a_server_that_closes_the_old_one_before_the_new_one_is_open(self) -> None:
        peer = self.change()
        peer.closed(1)
        peer.wait(1)
        peer.opened(2)
        peer.frame(2, event(2))
        assert peer.story == ["started", "reconnected", 2]
        assert peer.did("open") == [1, 2]

    def test_a_new_socket_that_cannot_be_opened_is_tried_again_beside_the_old_one(self) -> None:
        peer = self.change()
        peer.closed(2)
        peer.frame(1, event(1))
        peer.wait(2)
        peer.opened(3)
        peer.closed(1, clean=True)
        assert peer.story == ["started", 1]

    @pytest.mark.parametrize("is_probe", [True, False])
    def test_a_new_socket_of_which_nothing_was_heard_may_have_been_sent_events(self, *, is_probe: bool) -> None:
        """A server that sends each event to the newest socket alone took it for open, and the line broke."""
        if is_probe:
            peer = holding()
            peer.wait(61)
        else:
            peer = self.change()
        asked = peer.when("open")[-1]
        peer.wait(9)
        peer.obey(peer.link.closed(peer.now, 2, error=TransportError("no answer")))
        peer.wait(2)
        peer.frame(1, event(1))
        peer.opened(3)
        peer.frame(3, event(2))
        closed = peer.now
        peer.closed(1, clean=True)
        assert peer.story[-3:] == [1, "reconnected", 2]
        assert peer.gap()[1:] == pytest.approx((asked, closed))
        peer.wait(100)
        assert peer.did("open") == [1, 2, 3]

    def test_nothing_is_lost_where_nobody_listens(self) -> None:
        peer = self.change()
        error = TransportError("no answer")
        error.__cause__ = ConnectionRefusedError(111, "Connection refused")
        peer.obey(peer.link.closed(peer.now, 2, error=error))
        peer.wait(2)
        peer.opened(3)
        peer.closed(1, clean=True)
        assert peer.story == ["started"]

    def test_a_second_socket_that_does_not_close_as_asked_may_have_been_sent_events(self) -> None:
        peer = holding()
        peer.wait(61)
        peer.opened(2)
        peer.frame(1, event(1))  # the first is not mute
        opened = peer.now
        peer.wait(6)
        assert peer.did("open") == [1, 2, 3]
        peer.opened(3)
        peer.closed(1, clean=True)
        reason, since, until = peer.gap()
        assert (reason, until) == ("reconnected", peer.now)
        assert since is not None
        assert since <= opened

    def test_a_line_that_ends_after_such_a_socket_tells_both_in_one_gap(self) -> None:
        peer = self.change()
        asked = peer.when("open")[-1]
        peer.obey(peer.link.closed(peer.now, 2, error=TransportError("no answer")))
        peer.wait(30)  # socket 3 is being opened
        peer.closed(1)
        peer.opened(3)
        assert peer.story == ["started", "reconnected"]
        assert peer.gap()[1] == pytest.approx(asked)

    def test_a_shutdown_changes_now(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, json.dumps({"e": "serverShutdown", "E": 1}))
        peer.opened(2)
        peer.closed(1, clean=True)
        assert peer.story == ["started"]

    def test_a_shutdown_of_the_new_one_waits_for_the_old_one(self) -> None:
        peer = self.change()
        peer.opened(2)
        peer.frame(2, json.dumps({"e": "serverShutdown", "E": 1}))
        assert peer.did("open") == [1, 2]
        peer.closed(1, clean=True)
        peer.wait(2)
        assert peer.did("open") == [1, 2, 3]

    def test_the_new_one_dies_while_the_old_one_is_drained(self) -> None:
        peer = self.change()
        peer.opened(2)
        peer.frame(2, event(2))
        peer.closed(2)
        assert peer.story == ["started", 2]
        peer.frame(1, event(2), event(3))  # what the old one still had
        peer.wait(2)
        peer.opened(3)
        peer.closed(1)
        assert peer.story == ["started", 2, 3, "reconnected"]

    def test_the_key_is_replaced_while_the_old_one_is_drained(self) -> None:
        peer = self.change()
        peer.opened(2)
        peer.frame(2, event(2))
        peer.key(OTHER)
        peer.opened(3)
        peer.frame(3, event(3))
        peer.closed(2)
        peer.closed(1)
        assert [each for each in peer.story if isinstance(each, int)] == [2, 3]
        assert "key_replaced" in peer.story


def test_row_3_a_link_that_never_brought_an_event_is_warned_of_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    peer = running()
    peer.wait(3.5 * HOUR)
    assert caplog.messages == ["the connection is open, and has brought no event yet"] * 3
    assert (peer.link.connected_since, peer.link.last_event) == (START, None)
    peer.frame(1, event(1))
    assert peer.link.last_event == START + timedelta(hours=3.5)
    peer.wait(5 * HOUR)
    assert len(caplog.messages) == 3


class TestRow4ADeadLinkIsFound:
    def test_within_30_seconds(self) -> None:
        peer = running()
        peer.wait(60)
        peer.answer_pings = False
        died = peer.now
        peer.wait(40)
        assert peer.did("close") == [1]
        assert peer.when("close")[0] - died <= 30
        assert peer.when("open")[1] == peer.when("close")[0]
        peer.opened(2)
        assert peer.gap()[:2] == ("reconnected", 1060.0)

    def test_any_frame_is_life(self) -> None:
        peer = running(answer_pings=False)
        for i in range(20):
            peer.wait(11)
            peer.frame(1, event(i))
        assert peer.did("close") == []

    def test_a_connection_that_waits_for_the_program_is_not_read_and_not_dead(self) -> None:
        peer = running(answer_pings=False)
        for _ in range(60):
            peer.wait(1)
            assert peer.link.may_wait(peer.now, 1)
        assert peer.did("close") == []
        peer.wait(11)
        assert peer.did("close") == []
        peer.wait(2)  # it was read for long enough, and brought nothing
        assert peer.did("close") == [1]

    def test_a_connection_that_is_asked_to_close_does_not_wait_for_the_program(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        assert peer.link.may_wait(peer.now, 1)
        peer.opened(2)
        assert peer.did("close") == [1]
        assert not peer.link.may_wait(peer.now, 1)
        assert peer.link.may_wait(peer.now, 2)
        peer.closed(1, clean=True)
        assert not peer.link.may_wait(peer.now, 1)

    def test_a_subscription_that_is_never_answered(self) -> None:
        peer = running(subscribe=True)
        peer.wait(11)
        assert peer.did("close") == [1]
        assert peer.story == []


def test_row_5_a_quiet_account_sees_only_the_planned_change_in_25_hours() -> None:
    peer = running()
    peer.wait(23 * HOUR)
    assert peer.did("open") == [1, 2]
    peer.opened(2)
    peer.closed(1, clean=True)
    peer.wait(2 * HOUR)
    assert peer.did("open") == [1, 2]
    assert peer.story == ["started"]


class TestRow6TheMuteLink:
    """Pongs come, events do not: no timer on data, but a comparison where a position's events stopped."""

    def mute(self) -> Peer:
        peer = holding()
        peer.wait(59)
        assert peer.did("open") == [1]
        peer.wait(2)
        assert peer.did("open") == [1, 2]
        peer.opened(2)
        del peer.items[:]
        return peer

    def test_the_second_socket_brings_an_event_first(self) -> None:
        peer = self.mute()
        peer.frame(2, event(1))
        peer.wait(5)
        peer.frame(2, event(2))
        assert peer.story == ["mute", 1, 2]
        assert peer.gap()[:2] == ("mute", 1048.0)  # the last pong before the last event
        assert peer.did("close") == [1]

    def test_events_are_complete_from_what_the_second_socket_brings_first(self) -> None:
        """Before, the server may have sent all to the first socket alone."""
        peer = self.mute()
        peer.wait(20)
        peer.frame(2, event(1))
        brought_at = peer.now
        peer.wait(5)
        assert peer.gap() == ("mute", 1048.0, brought_at)

    def test_events_are_complete_from_the_end_of_the_first_socket_if_the_second_brought_none(self) -> None:
        peer = self.mute()
        peer.wait(20)
        peer.closed(1)
        assert peer.gap() == ("reconnected", 1048.0, peer.now)

    def test_the_first_socket_brings_it_too(self) -> None:
        peer = self.mute()
        peer.frame(2, event(1))
        peer.wait(0.5)
        peer.frame(1, event(1))
        peer.wait(100)
        assert peer.story == [1]
        assert peer.did("close") == [2]

    def test_neither_brings_any(self, caplog: pytest.LogCaptureFixture) -> None:
        peer = self.mute()
        peer.wait(61)
        assert peer.did("close") == [2]
        peer.closed(2, clean=True)
        peer.wait(2 * HOUR)
        assert peer.story == []
        assert peer.did("open") == [1, 2]
        assert caplog.messages.count("no event for a while, on a second connection neither") == 1

    @pytest.mark.parametrize("ends", ["is cut", "is replaced"])
    def test_a_silence_that_no_second_socket_explained_is_part_of_the_next_gap(self, ends: str) -> None:
        """A server that sends each event to the oldest socket alone shows the second socket nothing either."""
        peer = self.mute()
        peer.wait(61)
        peer.closed(2, clean=True)
        peer.wait(HOUR)
        if ends == "is replaced":
            peer.wait(23 * HOUR)
            peer.opened(3)
        peer.closed(1, clean=ends == "is replaced")
        if ends == "is cut":
            peer.opened(3)
        assert peer.gap()[:2] == ("mute" if ends == "is replaced" else "reconnected", 1048.0)

    def test_an_event_ends_a_silence_that_no_second_socket_explained(self) -> None:
        peer = self.mute()
        peer.wait(61)
        peer.closed(2, clean=True)
        peer.frame(1, event(1))
        peer.wait(HOUR)
        peer.closed(1)
        peer.opened(3)
        reason, since, until = peer.gap()
        assert reason == "reconnected"
        assert since is not None
        assert since > until - 24

    def test_the_warning_comes_once_an_hour(self, caplog: pytest.LogCaptureFixture) -> None:
        peer = self.mute()
        peer.wait(61)
        for i in range(5):
            peer.wait(10)
            peer.frame(1, account(100 + i))
        peer.wait(61)
        peer.opened(3)
        peer.wait(61)
        assert caplog.messages.count("no event for a while, on a second connection neither") == 1

    def test_the_second_socket_cannot_be_opened(self) -> None:
        peer = holding()
        for number, wait in enumerate([60, 60, 120, 240, 480, 960], start=2):
            peer.wait(wait)
            assert peer.did("open")[-1] == number  # 60, 120, 240 ... seconds after the last event
            peer.closed(number)
        peer.wait(HOUR)
        assert peer.did("open") == list(range(1, 9))

    def silent(self) -> Peer:
        """Return a peer whose main socket has brought no event for longer than a position lets it."""
        peer = holding()
        peer.wait(10.5)
        del peer.items[:]
        return peer

    def test_a_planned_change_comes_first(self) -> None:
        peer = self.silent()
        peer.frame(1, json.dumps({"e": "serverShutdown", "E": 1}))
        peer.opened(2)
        peer.closed(1, clean=True)
        peer.frame(2, event(1))
        assert peer.story == ["mute", 1]
        assert peer.gap() == ("mute", 1048.0, peer.now)

    def test_what_the_old_socket_brings_before_it_closes_counts(self) -> None:
        peer = self.silent()
        peer.frame(1, json.dumps({"e": "serverShutdown", "E": 1}))
        peer.opened(2)
        peer.frame(1, event(1))
        peer.closed(1, clean=True)
        assert peer.story == [1]

    def test_a_loss_comes_first(self) -> None:
        peer = self.silent()
        assert peer.did("ping")[-1:] == [1]
        peer.wait(20)
        peer.closed(1)
        peer.opened(2)
        assert peer.gap() == ("reconnected", 1048.0, peer.now)

    def test_the_machine_sleeps_first(self) -> None:
        peer = self.silent()
        peer.now += 300
        peer.obey(peer.link.tick(peer.now))
        peer.wait(59)
        assert peer.did("open") == [1]  # what waited in the socket may have to be read first
        peer.wait(2)
        peer.opened(2)
        peer.frame(2, event(1))
        peer.wait(5)
        assert peer.story == ["mute", 1]
        assert peer.gap()[1] == 1048.0

    def test_the_first_socket_ends_meanwhile(self) -> None:
        peer = self.mute()
        peer.frame(2, event(1))
        peer.closed(1)
        peer.frame(2, event(2))
        assert peer.story == ["reconnected", 1, 2]
        assert peer.gap()[1] == 1048.0
        assert peer.did("open") == [1, 2]

    def test_the_first_socket_ends_before_the_second_is_open(self) -> None:
        peer = holding()
        peer.wait(61)
        peer.closed(1)
        peer.opened(2)
        peer.frame(2, event(1))
        assert peer.story[-2:] == ["reconnected", 1]

    def test_the_key_is_replaced_meanwhile(self) -> None:
        peer = self.mute()
        peer.key(OTHER)
        assert peer.did("close") == [2]
        peer.opened(3)
        assert peer.story == ["key_replaced"]

    def test_an_account_without_a_position_is_never_compared(self) -> None:
        peer = running()
        for i in range(5):
            peer.wait(1)
            peer.frame(1, account(i))  # deposits, one after the other
        for i in range(5):
            peer.wait(100)
            peer.frame(1, account(10 + i))
        peer.wait(HOUR)
        assert peer.did("open") == [1]

    def test_a_program_that_stood_still_has_not_read_yet(self) -> None:
        peer = holding()
        peer.now += 100
        peer.wait(0)
        assert peer.did("open") == [1]


class TestRow7Doubles:
    def test_two_equal_events_on_one_socket_stay_two(self) -> None:
        peer = running()
        peer.frame(1, event(1), event(1))
        assert peer.story == ["started", 1, 1]

    def test_in_the_overlap_each_copy_is_used_up_once(self) -> None:
        peer = running()
        peer.frame(1, json.dumps({"e": "serverShutdown"}))
        peer.wait(2)
        peer.frame(1, event(1))
        peer.opened(2)
        peer.frame(2, event(1), event(1))
        peer.closed(1, clean=True)
        assert peer.story == ["started", 1, 1]
        peer.frame(2, event(1))
        assert peer.story == ["started", 1, 1, 1]

    def test_wrapped_and_bare_are_one(self) -> None:
        peer = running()
        peer.frame(1, json.dumps({"e": "serverShutdown"}))
        peer.wait(2)
        peer.frame(1, json.dumps({"stream": KEY, "data": json.loads(event(1))}), "no JSON")
        peer.opened(2)
        peer.frame(2, event(1), "no JSON")
        peer.closed(1, clean=True)
        assert [type(each) for each in peer.items] == [Gap, RiskLevelChange, UnknownEvent]

    def test_without_an_overlap_no_event_is_a_double(self) -> None:
        peer = running()
        peer.frame(1, event(1))
        peer.closed(1)
        peer.wait(2)
        peer.opened(2)
        peer.frame(2, event(1))
        assert peer.story == ["started", 1, "reconnected", 1]

    def test_a_change_that_fails_makes_no_double(self) -> None:
        peer = running()
        peer.frame(1, json.dumps({"e": "serverShutdown"}))
        peer.wait(2)
        peer.frame(1, event(1))
        peer.closed(2)
        peer.closed(1)
        peer.wait(3)
        peer.opened(3)
        peer.frame(3, event(1))
        assert peer.story == ["started", 1, "reconnected", 1]

    def test_long_after_the_overlap_no_event_is_taken_for_a_double(self) -> None:
        peer = running()
        peer.frame(1, json.dumps({"e": "serverShutdown"}))
        peer.wait(2)
        peer.frame(1, event(1))
        peer.opened(2)
        peer.closed(1, clean=True)
        peer.wait(70)
        peer.frame(2, event(1))
        assert peer.story == ["started", 1, 1]

    def test_a_drain_that_brings_too_much_is_over_and_marked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("listenkey.stream._machine.MOST", 2)
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.frame(2, event(1), event(2))
        peer.frame(1, event(1))
        assert peer.story == ["started", 1]
        peer.frame(2, event(3))
        peer.frame(1, event(2), event(3))  # nobody reads the old one any more
        assert peer.story == ["started", 1, "reconnected", 2, 3]
        assert peer.gap() == ("reconnected", 1096.0, 1100.0)

    def test_events_that_wait_for_a_proof_are_bounded_and_the_gap_tells(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("listenkey.stream._machine.MOST", 2)
        peer = running()
        peer.wait(100)
        peer.closed(1)
        peer.proves = peer.answer_pings = False
        peer.obey(peer.link.opened(peer.now, 2, peer.now - 0.1))
        for i in range(1, 5):
            peer.wait(1)
            peer.frame(2, event(i))
        assert peer.story == ["started"]
        peer.key(KEY)
        assert peer.story == ["started", "reconnected", 4]
        assert peer.gap() == ("reconnected", 1096.0, 1103.0)

    def test_a_change_that_takes_long_forgets_the_oldest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("listenkey.stream._machine.MOST", 2)
        peer = running()
        peer.frame(1, SHUTDOWN)
        peer.frame(1, *map(event, range(5)))  # the new one cannot have been sent the first ones
        assert len(copies_of(peer.link) or ()) == 2
        peer.opened(2)
        peer.frame(2, event(3), event(4))
        peer.closed(1, clean=True)
        peer.frame(2, event(5))
        assert peer.story == ["started", 0, 1, 2, 3, 4, 5]

    def test_more_events_than_any_buffer_in_an_overlap_come_once_and_in_order(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        for i in range(10_500):
            peer.frame(2, event(i))
        for i in range(10_500):
            peer.frame(1, event(i))
        peer.closed(1, clean=True)
        assert peer.story == ["started", *range(10_500)]
        assert copies_of(peer.link) is not None
        peer.frame(2, event(10_500))
        assert len(copies_of(peer.link)) == 10_500  # nothing is remembered once nobody else can bring the same

    def test_two_frames_that_cannot_be_read_are_two(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        peer.wait(2)
        peer.frame(1, "{", "[1]", '{"e":"A"}')
        peer.opened(2)
        peer.frame(2, "[2]", '{"e":"B"}', '{"e":"A"}', "{")
        peer.closed(1, clean=True)
        assert sum(isinstance(each, UnknownEvent) for each in peer.items) == 5

    def test_equal_events_around_a_change_are_two(self) -> None:
        """A content that repeats itself: what came before the new connection was open came to the old alone."""
        peer = running()
        peer.frame(1, event(1))
        peer.frame(1, SHUTDOWN)
        peer.frame(1, event(1))
        peer.opened(2)
        peer.closed(1, clean=True)
        peer.frame(2, event(1))
        assert peer.story == ["started", 1, 1, 1]

    def test_equal_events_while_a_new_connection_is_opened_are_two(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        peer.frame(1, event(1), event(1))
        peer.opened(2)
        peer.closed(1, clean=True)
        peer.frame(2, event(1))
        assert peer.story == ["started", 1, 1, 1]


class TestRow8TheBufferIsFull:
    def moment(self, seconds: int) -> datetime:
        return START + timedelta(seconds=seconds)

    def unknown(self, kind: int) -> UnknownEvent:
        return UnknownEvent(str(kind), "", {})

    def test_what_is_queued_stays_and_one_gap_counts_the_rest(self) -> None:
        buffer = Buffer(2)
        for i in range(5):
            buffer.put(self.unknown(i), self.moment(i), self.moment(i))
        assert len(buffer) == 3
        taken = [buffer.take() for _ in range(4)]
        assert taken == [
            self.unknown(0),
            self.unknown(1),
            Gap("overflow", self.moment(2), self.moment(4), dropped=3),
            None,
        ]

    def test_events_go_on_behind_the_gap(self) -> None:
        buffer = Buffer(2)
        for i in range(3):
            buffer.put(self.unknown(i), self.moment(i), self.moment(i))
        assert [buffer.take(), buffer.take()] == [self.unknown(0), self.unknown(1)]
        buffer.put(self.unknown(3), self.moment(3), self.moment(3))
        assert isinstance(buffer.take(), Gap)
        assert buffer.take() == self.unknown(3)

    def test_another_gap_is_never_lost_and_never_piles_up(self) -> None:
        buffer = Buffer(2)
        buffer.put(self.unknown(0), self.moment(0), self.moment(0))
        buffer.put(self.unknown(1), self.moment(1), self.moment(1))
        gap = Gap("reconnected", self.moment(1), self.moment(2))
        for i in range(100):
            buffer.put(gap, self.moment(1), self.moment(2))
            buffer.put(self.unknown(i), self.moment(3), self.moment(3))
        assert len(buffer) == 3
        assert [buffer.take() for _ in range(3)][-1] == Gap("reconnected", self.moment(1), self.moment(3), dropped=100)

    def test_items_that_come_at_once_make_no_program_slow(self) -> None:
        buffer = Buffer(2)
        buffer.put(self.unknown(0), self.moment(0), self.moment(0))
        buffer.expect(5)
        for i in range(1, 6):
            buffer.put(self.unknown(i), self.moment(0), self.moment(0))
        assert [buffer.take() for _ in range(5)] == [self.unknown(i) for i in range(5)]
        for i in range(6, 9):
            buffer.expect(1)
            buffer.put(self.unknown(i), self.moment(i), self.moment(i))
        assert [buffer.take() for _ in range(4)] == [
            self.unknown(5),
            self.unknown(6),
            Gap("overflow", self.moment(7), self.moment(8), dropped=2),
            None,
        ]

    def test_a_slow_program_gets_no_more_room(self) -> None:
        buffer = Buffer(2)
        for i in range(5):
            buffer.expect(3 if i == 2 else 1)
            buffer.put(self.unknown(i), self.moment(0), self.moment(0))
        assert len(buffer) == 3

    def test_an_overflow_of_what_was_held_back_begins_before_it_was_sent(self) -> None:
        """The program is slow, and the events that a change held back find no room."""
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.frame(2, event(1))
        peer.wait(4)
        peer.obey(peer.link.pong(peer.now, 2, peer.now))
        peer.closed(1, clean=True)
        assert peer.story == ["started", 1]
        assert peer.link.last_proof(peer.now) == START + timedelta(seconds=100)
        peer.frame(2, event(2))
        assert peer.link.last_proof(peer.now) == START + timedelta(seconds=104)

    @pytest.mark.parametrize("since", [2, None])
    def test_a_later_gap_may_begin_earlier(self, since: int | None) -> None:
        buffer = Buffer(1)
        begins = None if since is None else self.moment(since)
        buffer.put(self.unknown(0), self.moment(0), self.moment(0))
        buffer.put(Gap("reconnected", self.moment(5), self.moment(6)), self.moment(6), self.moment(6))
        buffer.put(Gap("key_replaced", begins, self.moment(8)), self.moment(8), self.moment(8))
        assert [buffer.take(), buffer.take()][1] == Gap("reconnected", begins, self.moment(8))


def test_row_9_a_program_that_stood_still_has_no_dead_link() -> None:
    peer = running(answer_pings=False)
    peer.wait(13)
    assert peer.did("ping") == [1]
    peer.now += 300  # a blocked loop, or a machine that slept
    peer.obey(peer.link.tick(peer.now))
    assert peer.did("ping") == [1, 1]
    peer.frame(1, event(1))  # it may have come long ago
    peer.obey(peer.link.pong(peer.now, 1, 1012.0))  # so may this
    assert peer.link.last_event is not None
    peer.wait(11)
    assert peer.did("close") == []
    peer.obey(peer.link.pong(peer.now, 1, peer.now - 11))
    peer.wait(11)
    assert peer.did("close") == []


def test_row_9_what_was_read_late_proves_nothing_of_the_time_between() -> None:
    peer = running()
    peer.wait(100)
    proof = peer.now - 4
    peer.answer_pings = False
    peer.now += 300
    peer.frame(1, event(1))
    peer.closed(1)
    peer.opened(2)
    assert peer.gap() == ("reconnected", proof, peer.now)


def test_row_9_a_pause_too_short_to_be_seen_proves_nothing_either() -> None:
    peer = running()
    peer.wait(100)
    peer.now += 7  # before the next ping is due
    peer.frame(1, event(1))  # it may have come 7 seconds ago
    peer.closed(1)
    peer.opened(2)
    assert peer.gap() == ("reconnected", 1096.0, peer.now)


def test_row_9_a_socket_that_is_being_opened_is_not_asked() -> None:
    peer = Peer()
    peer.now += 2 * HOUR
    peer.obey(peer.link.tick(peer.now))
    assert peer.did("ping") == []
    peer.opened(1)
    assert peer.story == ["started"]


def test_row_9_a_dead_link_is_found_after_a_sleep_too() -> None:
    peer = running(answer_pings=False)
    peer.wait(5)
    peer.now += HOUR
    peer.wait(13)
    assert peer.did("close") == [1]


def test_row_10_what_cannot_be_read_goes_through_as_unknown() -> None:
    peer = running()
    peer.frame(1, "{", json.dumps({"e": "NEWS"}), event(1))
    assert [type(each) for each in peer.items] == [Gap, UnknownEvent, UnknownEvent, RiskLevelChange]


def test_row_11_a_replaced_socket_stands_in_the_flow_of_events() -> None:
    peer = running()
    peer.frame(1, event(1))
    peer.wait(100)
    peer.closed(1)
    proof, opened = 1096.0, 1100.25
    peer.wait(0.25)
    peer.opened(2)
    peer.frame(2, event(2))
    assert peer.story == ["started", 1, "reconnected", 2]
    assert peer.gap() == ("reconnected", proof, opened)


class TestRow12TheKeyIsReplaced:
    def test_what_the_old_socket_still_brings_is_passed_and_proves_nothing_of_the_new_key(self) -> None:
        peer = running()
        peer.wait(1000)
        peer.key(OTHER, age=50)
        peer.wait(50)
        peer.frame(1, event(1))
        peer.key(KEY)
        peer.opened(3)
        assert peer.story == ["started", 1, "key_replaced"]
        assert peer.gap()[1] == 1000.0  # of the first loss

    def test_a_new_socket_at_once_and_always_a_mark(self) -> None:
        peer = running()
        peer.wait(1000)
        peer.key(KEY, age=200)
        peer.wait(100)
        peer.key(OTHER, age=1)
        assert peer.done[-1] == (2100.0, Command("open", 2, OTHER))
        peer.opened(2)
        peer.frame(2, event(1))
        assert peer.story == ["started", "key_replaced", 1]
        assert peer.gap() == ("key_replaced", 1800.0, 2100.0)  # the old key was last proven then

    def test_while_no_socket_is_open_the_earlier_loss_says_since_when(self) -> None:
        peer = running()
        peer.wait(100)
        peer.closed(1)
        peer.wait(5)
        peer.key(OTHER)
        peer.opened(3)
        assert peer.gap() == ("key_replaced", 1000.0, 1105.0)
        assert peer.did("close") == [2]  # it was being opened on the old key

    def test_before_the_stream_has_started_it_is_the_start(self) -> None:
        peer = Peer()
        peer.key(OTHER)
        peer.opened(2)
        assert peer.story == ["started"]


def test_row_13_a_socket_that_was_given_up_changes_nothing_any_more() -> None:
    peer = running()
    peer.closed(1)
    peer.opened(1)
    peer.frame(1, event(1))
    peer.obey(peer.link.pong(peer.now, 1, peer.now))
    peer.closed(1, status=403)
    assert peer.story == ["started"]
    peer.wait(1.3)
    assert peer.did("open") == [1, 2]


class TestRow14Backoff:
    def test_a_server_that_accepts_and_closes_is_not_stormed(self) -> None:
        peer = Peer()
        while peer.now < 1600:
            peer.opened(len(peer.did("open")))
            peer.closed(len(peer.did("open")))
            peer.wait(1)
        waits = [after - before for before, after in zip(peer.when("open"), peer.when("open")[1:], strict=False)]
        assert len(waits) < 16
        for wait, least in zip(waits, [1, 2, 4, 8, 16, 32, 48, 48, 48], strict=False):
            assert least <= wait <= 61

    def test_it_starts_anew_only_after_a_minute_of_life(self) -> None:
        peer = running()
        peer.wait(61)
        peer.closed(1)
        assert peer.when("open")[-1] == peer.now  # at once
        peer.opened(2)
        peer.closed(2)
        assert peer.when("open")[-1] == peer.now
        peer.wait(0.9)
        assert peer.did("open") == [1, 2]
        peer.wait(0.6)
        assert peer.did("open") == [1, 2, 3]

    def test_the_wait_of_the_address_is_kept(self) -> None:
        peer = Peer()
        peer.link.not_before = peer.now + 500
        peer.closed(1, status=429)
        peer.wait(499)
        assert peer.did("open") == [1]
        peer.wait(2)
        assert peer.did("open") == [1, 2]
        assert peer.errors == []

    @pytest.mark.parametrize(("asked", "least"), [(20.0, 20.0), (3600.0, Pace().longest)])
    def test_the_wish_of_a_server_with_a_fault_is_followed_within_reason(self, asked: float, least: float) -> None:
        peer = Peer()
        peer.obey(peer.link.closed(peer.now, 1, error=ServerError(503, retry_after=asked)))
        peer.wait(least - 1)
        assert peer.did("open") == [1]
        peer.wait(2)
        assert peer.did("open") == [1, 2]

    def test_faults_of_the_server_are_tried_without_end(self) -> None:
        peer = Peer()
        while len(peer.did("open")) < 50:
            peer.closed(len(peer.did("open")), status=503)
            peer.wait(61)
        assert peer.errors == []


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, Unauthorized, "refused; check stream_url."),
        (403, ApiError, "refused; check stream_url."),
        (404, ApiError, "refused; check stream_url."),
        (410, ApiError, "refused; check stream_url."),
        (302, UnexpectedResponse, "a redirect, which is not followed"),  # row 17
        (200, UnexpectedResponse, "no WebSocket"),
    ],
)
def test_a_lasting_refusal_slows_down_and_ends_in_a_typed_error(
    status: int, error: type[ListenKeyError], text: str
) -> None:
    peer = Peer()
    while not peer.errors:
        peer.closed(len(peer.did("open")), status=status)
        peer.wait(60)
    assert type(peer.errors[0]) is error
    assert text in str(peer.errors[0])
    waits = [after - before for before, after in zip(peer.when("open"), peer.when("open")[1:], strict=False)]
    assert len(peer.did("open")) - 1 <= 5
    assert min(waits) >= 10


def test_a_refused_change_does_not_end_a_stream_that_runs() -> None:
    peer = running()
    peer.frame(1, json.dumps({"e": "serverShutdown"}))
    for _ in range(20):
        peer.wait(60)
        peer.closed(len(peer.did("open")), status=403)
    peer.frame(1, event(1))
    assert peer.errors == []
    assert peer.story == ["started", 1]


class TestTheSubscribeForm:
    def test_events_can_come_when_the_subscription_is_answered(self) -> None:
        peer = Peer(subscribe=True)
        peer.opened(1)
        assert peer.done[-1][1] == Command("subscribe", 1, KEY)
        assert peer.story == []
        peer.frame(1, json.dumps({"result": None, "id": 1}), event(1))
        assert peer.story == ["started", 1]

    def test_an_event_says_as_much_as_the_answer(self) -> None:
        peer = Peer(subscribe=True)
        peer.opened(1)
        peer.frame(1, event(1), json.dumps({"result": None, "id": 1}))
        assert peer.story == ["started", 1]

    def test_a_refused_subscription_is_a_socket_of_no_use(self, caplog: pytest.LogCaptureFixture) -> None:
        peer = Peer(subscribe=True)
        peer.opened(1)
        peer.frame(1, json.dumps({"error": {"code": 2}, "id": 1}))
        assert peer.did("close") == [1]
        assert caplog.messages == ["the server refused SUBSCRIBE"]
        assert str(peer.link.trouble) == "The connection to the stream is of no use: it refused SUBSCRIBE."


def test_row_16_no_action_shows_the_key_and_no_log_line_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer = running(subscribe=True)
    peer.frame(1, '{"result": null, "id": 1}')
    peer.frame(1, json.dumps({"stream": KEY, "data": {"e": "NEWS", "listenKey": OTHER}}), expired(KEY))
    peer.key(OTHER)
    peer.wait(100)
    for text in (repr(peer.done), repr(peer.items), repr(list(sockets_of(peer.link))), caplog.text):
        assert KEY not in text
        assert OTHER not in text
    assert "***" in repr([each.raw for each in peer.items if isinstance(each, UnknownEvent)])


def test_events_of_a_position_that_changed_are_no_beat() -> None:
    peer = running()
    update = json.dumps({"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "B": [], "P": []})
    for _ in range(10):
        peer.wait(10)
        peer.frame(1, update)
    peer.wait(HOUR)
    assert peer.did("open") == [1]
    assert sum(isinstance(each, BalancePositionUpdate) for each in peer.items) == 10


def test_every_duration_can_be_scaled() -> None:
    assert Pace().scaled(0.5).ping == 6.0
    assert Pace().scaled(0.5).life == 11.5 * HOUR


def test_a_pause_that_is_not_seen_is_shorter_than_any_judgement() -> None:
    assert Pace().late < min(Pace().verdict, Pace().drain, Pace().pong)


class TestOldFaults:
    """Sequences that once lost an event in silence, brought one twice, or opened sockets without end."""

    def test_refusals_beside_a_main_socket_are_paced(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        for _ in range(100):
            peer.closed(peer.did("open")[-1], status=503)
        assert peer.did("open") == [1, 2]

    def test_refusals_without_end_end_nothing(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        for _ in range(1100):  # 2.0 ** 1024 is no float
            peer.closed(peer.did("open")[-1], status=403)
            peer.wait(49)
        assert peer.errors == []

    def test_refusals_in_a_row_are_counted(self) -> None:
        peer = Peer()
        for status in [403, 403, 503] * 5:
            peer.closed(peer.did("open")[-1], status=status)
            peer.wait(60)
        assert peer.errors == []

    def test_probes_that_fail_for_hours_are_paced(self) -> None:
        peer = holding()
        for _ in range(9000):
            peer.wait(1)
            peer.closed(peer.did("open")[-1] if len(peer.did("open")) > 1 else 0)
        assert len(peer.did("open")) == 9  # 60, 120, 240 ... seconds after the last event

    def test_a_position_that_was_closed_is_not_missed(self) -> None:
        peer = holding()
        for i in range(60):
            peer.wait(30)
            peer.frame(1, event(i))
        peer.wait(12)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.closed(1, clean=True)
        assert "mute" not in peer.story
        assert peer.did("open") == [1, 2]

    @pytest.mark.parametrize("planned", [True, False])
    def test_an_event_that_waited_here_is_not_fresh(self, *, planned: bool) -> None:
        peer = holding()
        peer.now += 200  # it stood still
        peer.frame(1, account(900))  # sent at 1060, and nothing after it
        peer.wait(5)
        if planned:
            peer.frame(1, SHUTDOWN)
            peer.opened(2)
        peer.closed(1, clean=planned)
        peer.opened(2)
        assert peer.gap() == ("mute" if planned else "reconnected", 1048.0, peer.now)

    def test_a_pong_after_the_last_beat_does_not_prove_what_came_between(self) -> None:
        peer = running()
        peer.wait(7)
        for i in range(5):
            peer.wait(10)
            peer.frame(1, account(i))  # the last at 1057; an order of 1058 goes missing
        peer.wait(4)
        peer.closed(1)
        peer.opened(2)
        assert peer.gap() == ("reconnected", 1048.0, peer.now)

    def test_nothing_comes_twice_when_the_old_socket_ends_before_the_new_is_told(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.frame(1, event(7))  # the server had accepted socket 2, and sent it to both
        peer.closed(1)
        peer.opened(2)
        peer.frame(2, event(7))
        assert peer.story == ["started", 7, "reconnected"]

    def test_nothing_comes_twice_while_the_old_socket_is_drained(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.closed(2)
        peer.wait(2)
        peer.frame(1, event(7))
        peer.opened(3)
        peer.frame(3, event(7))
        assert peer.story.count(7) == 1

    def test_a_probe_that_is_being_opened_is_kept(self) -> None:
        peer = holding()
        peer.wait(61)
        peer.frame(1, account(9))
        assert peer.did("close") == []
        peer.opened(2)
        peer.frame(2, event(7))
        peer.wait(5)
        assert 7 in peer.story

    def test_what_a_probe_brought_before_it_ended_is_kept(self) -> None:
        peer = holding()
        peer.wait(61)
        peer.opened(2)
        peer.frame(2, event(7))
        peer.wait(0.5)
        peer.closed(2)
        peer.wait(10)
        peer.opened(3)
        assert peer.story[-2:] == [7, "mute"]
        assert peer.gap()[1] == 1048.0

    def test_the_old_socket_may_tell_that_the_key_ended(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.frame(1, expired(KEY))
        assert peer.did("renew") == [0]

    def test_what_cannot_be_read_proves_no_key(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, event(1))
        peer.wait(900)
        peer.frame(1, '{"msg": "maintenance"}')
        peer.wait(300)
        peer.key(OTHER)
        peer.opened(2)
        assert peer.gap()[:2] == ("key_replaced", 1096.0)

    def test_what_cannot_be_read_answers_no_subscribe(self) -> None:
        peer = Peer(subscribe=True)
        peer.opened(1)
        peer.frame(1, '{"msg": "welcome"}')
        peer.wait(9)
        peer.frame(1, '{"result": null, "id": 1}')
        assert peer.gap() == ("started", None, 1009.0)

    def probed(self, **options: bool) -> Peer:
        """Return a peer whose main socket has been silent for a minute, with a second socket open beside it."""
        peer = holding(**options)
        peer.wait(61)
        peer.opened(2)
        return peer

    def sleep(self, peer: Peer, seconds: float) -> None:
        """Let the machine sleep. After that the timer runs before any frame that waited is read."""
        peer.now += seconds
        peer.obey(peer.link.tick(peer.now))

    def test_nothing_is_acquitted_before_what_waited_is_read(self) -> None:
        peer = self.probed()
        self.sleep(peer, 100)
        peer.frame(2, event(7))
        peer.wait(5)
        assert peer.story[-2:] == ["mute", 7]

    @pytest.mark.parametrize("pause", [2, 100])
    def test_nothing_is_condemned_before_what_waited_is_read(self, pause: float) -> None:
        peer = self.probed()
        peer.frame(2, event(7))
        self.sleep(peer, pause)
        peer.frame(1, event(7))
        peer.wait(5)
        assert (peer.story[-1], "mute" in peer.story) == (7, False)

    def test_an_event_that_comes_to_the_second_socket_late_condemns_as_well(self) -> None:
        peer = self.probed()
        peer.wait(58)
        peer.frame(2, event(7))  # 4 s to bring it, too, and the comparison ends in 2
        peer.wait(5)
        assert peer.story[-2:] == ["mute", 7]

    @pytest.mark.parametrize("ends", [True, False])
    def test_a_mute_socket_is_mute_since_its_last_event(self, *, ends: bool) -> None:
        """An event of another kind came while the second socket was being opened: a pong after it proves nothing."""
        peer = holding()
        peer.wait(67)
        peer.frame(1, event(6))
        peer.opened(2)
        peer.frame(2, event(7))
        peer.wait(3.5)  # a pong comes
        if ends:
            peer.closed(2)
            peer.wait(3)
            peer.opened(3)
        peer.wait(1)
        assert {"mute", 6, 7} <= set(peer.story)
        assert peer.gap()[:2] == ("mute", 1108.0)

    def test_a_copy_condemns_nobody(self) -> None:
        peer = holding()
        peer.wait(61)
        peer.frame(1, event(7))
        peer.opened(2)
        peer.frame(2, event(7))
        peer.wait(5)
        peer.closed(2)
        assert (peer.story[-1], "mute" in peer.story) == (7, False)

    @pytest.mark.parametrize("subscribe", [True, False])
    def test_what_cannot_be_read_condemns_nobody(self, *, subscribe: bool) -> None:
        peer = self.probed(subscribe=subscribe)
        peer.frame(2, '{"msg": "welcome"}')
        peer.wait(5)
        assert "mute" not in peer.story

    def test_nothing_comes_twice_after_a_pause(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        peer.frame(1, event(7))
        peer.closed(1, clean=True)
        self.sleep(peer, 100)
        peer.frame(2, event(7))
        assert peer.story == ["started", 7]

    def test_nothing_comes_twice_while_a_socket_is_being_opened(self) -> None:
        peer = running()
        peer.key(OTHER)
        peer.opened(2)
        peer.key(KEY)
        peer.closed(1, clean=True)
        self.sleep(peer, 100)
        peer.frame(2, event(7))
        peer.opened(3)
        peer.frame(3, event(7))
        assert peer.story.count(7) == 1

    def test_a_close_that_waited_is_a_close_as_asked(self) -> None:
        peer = running()
        peer.wait(100)
        peer.frame(1, SHUTDOWN)
        peer.opened(2)
        self.sleep(peer, 10)
        peer.closed(1, clean=True)
        assert peer.story == ["started"]

    @pytest.mark.parametrize("said", [SHUTDOWN, "expired"])
    def test_a_server_that_sends_each_new_socket_away_is_not_stormed(self, said: str) -> None:
        peer = running()
        for i in range(200):
            number = peer.did("open")[-1]
            peer.frame(number, expired(KEY, i) if said == "expired" else said)
            peer.wait(0.1)
            if said == "expired":
                peer.key(KEY)
            peer.wait(0.1)
            if peer.did("open")[-1] != number:
                peer.opened(number + 1)
                peer.closed(number, clean=True)
        assert len(peer.did("open")) < 10

    def test_expiries_without_a_name_that_say_the_same_are_of_their_keys(self) -> None:
        peer = running()
        peer.frame(1, '{"e": "listenKeyExpired", "E": 5}')
        peer.wait(1)
        peer.key(OTHER)
        peer.opened(2)
        peer.frame(2, *['{"e": "listenKeyExpired", "E": 5}'] * 2)
        assert peer.did("renew") == [0, 0]

    def test_an_expiry_without_a_name_is_of_its_socket(self) -> None:
        peer = running()
        peer.wait(100)
        peer.key(OTHER)
        peer.frame(1, '{"e": "listenKeyExpired", "E": 5}')
        peer.opened(2)
        assert (peer.story, peer.did("renew")) == (["started", "key_replaced"], [])

    def test_a_loss_long_after_failed_probes_is_mended_at_once(self) -> None:
        peer = holding()
        for number in range(2, 8):
            while peer.did("open")[-1] < number:
                peer.wait(1)
            peer.closed(number)
        peer.frame(1, event(1))
        peer.wait(10 * HOUR)
        before = len(peer.did("open"))
        peer.closed(1)
        assert len(peer.did("open")) == before + 1

    def test_no_frame_ends_the_stream(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)  # from here on events are compared with those of socket 2
        depths = range(900, 1000)  # about as deep as Python 3.11 can read, and a little less deep than it can write
        for deep in depths:
            peer.frame(1, event(deep)[:-1] + ', "z": ' + "[" * deep + "]" * deep + "}")
        peer.frame(1, '{"e": "x", "v": 1e9999999999999999999999}')  # beyond Decimal
        assert len(peer.items) == 1 + len(depths) + 1


class TestTheKeyIsProvenBeforeEventsAreCompleteAgain:
    def lost(self, *, proves: bool = False) -> Peer:
        """Return a peer that has lost its socket, and has another one open since 1101."""
        peer = running(proves=proves)
        peer.wait(100)
        peer.closed(1)
        peer.wait(1)
        peer.opened(2)
        return peer

    def test_the_gap_waits_for_a_renewal_that_was_asked_for_later(self) -> None:
        peer = self.lost()
        assert peer.when("prove") == [1101]
        assert peer.story == ["started"]
        assert peer.link.connected_since == peer.link.at(1101)
        assert not peer.link.is_key_proven
        assert peer.link.blind_since == peer.link.at(1096)
        peer.wait(2)
        peer.key(KEY, age=1)
        assert peer.story == ["started", "reconnected"]
        assert peer.gap() == ("reconnected", 1096.0, 1101.0)
        assert peer.link.is_key_proven
        assert peer.link.blind_since is None

    def test_a_renewal_from_before_is_no_proof_and_another_is_asked_for_at_once(self) -> None:
        peer = self.lost()
        peer.wait(1)
        peer.key(KEY, age=1.5)
        assert peer.story == ["started"]
        assert peer.when("prove") == [1101, 1102]
        peer.wait(1)
        peer.key(KEY, age=0.5)
        assert peer.story == ["started", "reconnected"]

    def test_an_event_that_was_sent_later_is_a_proof_too(self) -> None:
        peer = self.lost()
        peer.frame(2, event(1))  # after the pong
        assert peer.story == ["started", "reconnected", 1]
        assert peer.gap()[2] == 1101.0

    def test_an_event_that_may_have_waited_is_no_proof(self) -> None:
        peer = running(proves=False)
        peer.wait(100)
        peer.closed(1)
        peer.answer_pings = False
        peer.now += 600  # the machine slept in the middle of the handshake
        peer.obey(peer.link.opened(peer.now, 2, asked_at=1101.0))
        peer.frame(2, event(1))
        assert peer.story == ["started"]
        peer.key(OTHER)  # and meanwhile the key was replaced
        peer.opened(3)
        peer.key(OTHER)
        assert peer.story == ["started", "key_replaced"]
        assert peer.gap()[1] == 1096.0

    def test_another_key_is_one_gap(self) -> None:
        peer = self.lost()
        peer.key(OTHER)
        assert peer.did("open") == [1, 2, 3]
        peer.wait(0.5)
        peer.opened(3)
        peer.frame(3, event(1))
        assert peer.story == ["started", "key_replaced", 1]
        assert peer.gap() == ("key_replaced", 1000.0, 1101.5)  # the last proof of the key was the first

    def test_without_rest_the_stream_stays_connected_and_says_what_is_wrong(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        peer = self.lost()
        peer.link.key_error = TransportError("No answer from REST.")
        peer.wait(600)
        assert peer.link.connected_since is not None
        assert peer.story == ["started"]
        assert str(peer.link.trouble) == "No answer from REST."
        text = "the connection is open, but the listen key is not proven: No answer from REST."
        assert caplog.messages == [f"no events for {seconds} s: {text}" for seconds in (10, 40, 130, 400)]
        assert len(peer.when("prove")) == 21  # the keeper sends them when it can

    def test_what_cannot_be_read_waits_for_the_gap(self) -> None:
        peer = self.lost()
        peer.frame(2, "{")
        assert peer.story == ["started"]
        peer.key(KEY)
        assert [type(each) for each in peer.items] == [Gap, Gap, UnknownEvent]

    def test_a_socket_that_dies_unproven_is_part_of_one_gap(self) -> None:
        peer = self.lost()
        peer.closed(2)
        peer.wait(5)
        peer.opened(3)
        peer.key(KEY)
        assert peer.story == ["started", "reconnected"]
        assert peer.gap()[1] == 1096.0

    def test_a_stream_begins_without_a_second_renewal(self) -> None:
        peer = Peer(proves=False)
        peer.wait(8)
        peer.opened(1)
        assert (peer.story, peer.did("prove")) == (["started"], [])

    def test_a_stream_of_an_older_keeper_asks_first(self) -> None:
        peer = Peer(proves=False)
        peer.wait(60)
        peer.opened(1)
        assert (peer.story, peer.did("prove")) == ([], [0])
        peer.key(KEY)
        assert peer.story == ["started"]


class TestBlindnessIsTold:
    def test_warnings_come_at_growing_distance_and_end_with_one(self, caplog: pytest.LogCaptureFixture) -> None:
        peer = running()
        peer.wait(100)
        peer.closed(1, status=503)
        for _ in range(40):
            peer.wait(60)
            peer.closed(peer.did("open")[-1], status=503)
        spoken = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [round(vars(each)["listenkey_seconds"], 3) for each in spoken] == [10, 40, 130, 400, 1210]
        assert spoken[0].getMessage().startswith("no events for 10 s: no connection: refused; check stream_url.")
        peer.wait(60)
        peer.opened(peer.did("open")[-1])
        assert caplog.messages[-1].startswith("events come again, after ")
        assert peer.link.trouble is None

    def test_a_short_loss_warns_of_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        peer = running()
        peer.closed(1, status=503)
        peer.wait(5)
        peer.opened(2)
        peer.wait(100)
        assert caplog.messages == []

    def test_an_item_tells_at_once_if_asked_for(self) -> None:
        peer = Peer()
        peer.link = Link(peer.now, START, KEY, Pace(), Random(1), tell_blind=True)
        peer.obey(peer.link.tick(peer.now))
        peer.opened(1)
        peer.wait(100)
        peer.closed(1, status=503)
        (blind,) = (each for each in peer.items if isinstance(each, Blind))
        assert blind.since == peer.link.at(1096)
        assert isinstance(blind.error, ServerError)
        peer.wait(1)
        peer.opened(2)
        assert [type(each) for each in peer.items] == [Gap, Blind, Gap]

    def test_an_item_tells_that_a_stream_cannot_begin(self) -> None:
        peer = Peer()
        peer.link = Link(peer.now, START, KEY, Pace(), Random(1), tell_blind=True)
        peer.obey(peer.link.tick(peer.now))
        peer.closed(1, status=503)
        peer.wait(9)
        assert peer.items == []
        peer.wait(2)
        (blind,) = peer.items
        assert isinstance(blind, Blind)
        assert blind.since is None

    def test_a_refused_change_beside_a_good_connection_is_no_blindness(self) -> None:
        peer = running()
        peer.frame(1, SHUTDOWN)
        peer.closed(2, status=503)
        assert isinstance(peer.link.trouble, ServerError)
        assert peer.link.blind_since is None
        peer.wait(5)
        peer.opened(3)
        assert peer.link.trouble is None


@pytest.mark.parametrize("status", [401, 403, 404, 407, 302])
def test_a_link_that_has_worked_goes_on_slower(status: int) -> None:
    peer = running()
    peer.wait(6 * HOUR)
    peer.closed(1, status=503)
    lost = peer.now
    while peer.now < lost + HOUR / 2:
        if peer.did("open")[-1] > len(peer.did("open")) - 1:
            peer.closed(peer.did("open")[-1], status=status)
        peer.wait(1)
    tries = [moment - lost for moment in peer.when("open")[1:]]
    assert peer.errors == []
    assert 5 <= len(tries) <= 7
    assert min(after - before for before, after in itertools.pairwise(tries)) >= 30
    peer.wait(HOUR)
    peer.opened(peer.did("open")[-1])
    assert peer.story[-1] == "reconnected"


@pytest.mark.parametrize(
    "error", [ApiError(407, None, "check HTTPS_PROXY"), ConfigurationError("SSL_CERT_FILE"), TransportError("no trust")]
)
def test_a_link_that_never_worked_ends_at_once_where_settings_are_wrong(error: ListenKeyError) -> None:
    if isinstance(error, TransportError):
        error.__cause__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    peer = Peer()
    peer.obey(peer.link.closed(peer.now, 1, error=error))
    assert peer.errors == [error]


@pytest.mark.parametrize("how", ["handshake", "SUBSCRIBE refused", "SUBSCRIBE not answered"])
def test_a_server_that_refuses_a_key_makes_the_stream_ask_whether_the_key_lives(how: str) -> None:
    """Another program has replaced the key while the line was down. The keeper would ask in half an hour."""
    subscribe = how != "handshake"
    peer = Peer(subscribe=subscribe, proves=False)
    peer.opened(1)
    if subscribe:
        peer.frame(1, '{"result": null, "id": 1}')
    peer.wait(100)
    peer.closed(1)
    if subscribe:
        peer.opened(2)
        if how == "SUBSCRIBE refused":
            peer.frame(2, '{"error": {"code": 2}, "id": 1}')
    else:
        peer.closed(2, status=400)
    peer.wait(31)
    assert len(peer.did("prove")) in (1, 2)
    opened = len(peer.did("open"))
    peer.key(OTHER)
    assert len(peer.did("open")) == opened + 1
    peer.opened(opened + 1)
    if subscribe:
        peer.frame(opened + 1, '{"result": null, "id": 1}')
    assert peer.story[-1] == "key_replaced"
    proofs = len(peer.did("prove"))
    peer.wait(100)
    assert len(peer.did("prove")) == proofs


@pytest.mark.parametrize("status", [407, 429, 503])
def test_a_refusal_that_is_not_about_the_key_asks_for_no_proof(status: int) -> None:
    peer = running()
    peer.wait(100)
    peer.closed(1)
    asked = len(peer.did("prove"))
    peer.closed(2, status=status)
    peer.wait(100)
    assert len(peer.did("prove")) == asked


def test_since_is_never_later_than_the_loss() -> None:
    """The new socket dies right after its handshake: it was never known to live later than when it was asked for."""
    peer = running(proves=False)
    peer.wait(100)
    peer.frame(1, SHUTDOWN)
    asked = peer.now
    peer.wait(0.4)
    peer.answer_pings = False
    peer.obey(peer.link.opened(peer.now, 2, asked))
    peer.closed(1, clean=True)
    peer.wait(30)
    peer.opened(3)
    peer.answer_pings = True
    peer.key(KEY)
    assert peer.gap()[1] == asked


def test_instants_follow_a_wall_clock_that_is_set_right() -> None:
    peer = running()
    peer.wait(100)
    peer.link.set_wall(peer.now, START - timedelta(hours=8) + timedelta(seconds=100))
    peer.closed(1)
    peer.wait(1)
    peer.opened(2)
    gap = peer.items[-1]
    assert isinstance(gap, Gap)
    assert gap.until == START - timedelta(hours=8) + timedelta(seconds=101)
    assert gap.since == START - timedelta(hours=8) + timedelta(seconds=96)
