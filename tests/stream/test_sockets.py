"""What a socket has shown, as a table: signs of life, the pace of a held position, and who is main, next and old."""

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from listenkey.stream import AccountUpdate, RiskLevelChange
from listenkey.stream._pace import Pace
from listenkey.stream._sockets import Socket
from listenkey.stream._succession import Succession

PACE = Pace()  # ping and pong 12 s each, a beat each 10 s, late after 3 s
THEN = datetime(2026, 3, 27, tzinfo=UTC)
ONE = Decimal(1)
OTHER = RiskLevelChange(event_time=THEN, margin_balance=ONE, maintenance_margin=ONE)
BEAT = AccountUpdate(
    event_time=THEN,
    transaction_time=THEN,
    equity=ONE,
    adjusted_equity=ONE,
    wallet_balance=ONE,
    position_value=ONE,
    unrealized_profit=ONE,
    initial_margin=ONE,
    maintenance_margin=ONE,
)


def opened(at: float = 100.0) -> Socket:
    socket = Socket(1, "key", at - 1)
    socket.open(at, at - 1)
    return socket


class TestSignsOfLife:
    def test_an_answered_ping_proves_life_at_the_moment_of_the_ping(self) -> None:
        socket = opened()
        assert (socket.alive_at, socket.ping_at(PACE), socket.dead_at(PACE)) == (99.0, 111.0, math.inf)
        socket.ping(111.0)
        assert (socket.ping_at(PACE), socket.dead_at(PACE)) == (math.inf, 123.0)
        socket.pong(111.0)
        assert (socket.alive_at, socket.ping_at(PACE), socket.dead_at(PACE)) == (111.0, 123.0, math.inf)

    def test_an_older_pong_answers_no_newer_ping(self) -> None:
        socket = opened()
        socket.ping(111.0)
        socket.ping(115.0)
        socket.pong(111.0)
        assert (socket.alive_at, socket.dead_at(PACE)) == (111.0, 127.0)

    def test_a_late_pong_takes_no_proof_back(self) -> None:
        socket = opened()
        socket.pong(115.0)
        socket.pong(111.0)
        assert socket.alive_at == 115.0

    def test_an_event_delays_the_verdict_and_is_no_proof(self) -> None:
        socket = opened()
        socket.ping(111.0)
        socket.note_event(120.0)
        assert (socket.alive_at, socket.sent_at, socket.dead_at(PACE)) == (99.0, 99.0, 132.0)

    def test_time_in_which_nothing_is_read_is_no_sign_of_death(self) -> None:
        socket = opened()
        socket.ping(111.0)
        socket.unread_at = 130.0
        assert (socket.alive_at, socket.dead_at(PACE)) == (99.0, 142.0)
        socket.pong(111.0)
        assert (socket.alive_at, socket.dead_at(PACE)) == (111.0, math.inf)

    def test_events_may_have_been_sent_since_it_was_asked_for_and_then_since_the_last_proof(self) -> None:
        socket = opened()
        assert socket.may_have_events_since == 99.0
        socket.is_ready, socket.alive_at = True, 111.0
        assert socket.may_have_events_since == 111.0


class TestTheKey:
    def test_an_event_that_may_have_waited_proves_nothing(self) -> None:
        socket = opened()
        socket.prove_key()
        assert not socket.is_key_proven
        socket.pong(100.0)  # asked for after the handshake: what comes now was sent later
        socket.prove_key()
        assert socket.is_key_proven
        assert "key" not in repr(socket).replace("is_key_proven", "")


class TestTheBeat:
    def beating(self, beats: int = 4) -> Socket:
        socket = opened()
        for number in range(beats):
            moment = 110.0 + 10 * number
            socket.pong(moment - 1)
            socket.note_event(moment)
            socket.note_beat(moment, BEAT, PACE)
        return socket

    @pytest.mark.parametrize(("beats", "has_beat"), [(1, False), (3, False), (4, True)])
    def test_four_beats_are_a_pace(self, beats: int, *, has_beat: bool) -> None:
        assert self.beating(beats).has_beat is has_beat

    def test_two_updates_of_a_moment_are_one_beat(self) -> None:
        socket = self.beating(3)
        socket.note_beat(131.0, BEAT, PACE)
        assert not socket.has_beat

    def test_another_event_without_a_beat_says_that_the_position_was_closed(self) -> None:
        socket = self.beating()
        socket.note_beat(154.0, OTHER, PACE)
        assert socket.has_beat
        socket.note_beat(155.0, OTHER, PACE)
        assert not socket.has_beat

    def test_a_socket_with_a_pace_is_complete_until_its_last_event(self) -> None:
        socket = self.beating()
        socket.pong(180.0)
        assert socket.complete_until == 139.0  # the last beat was sent then, or later
        socket.beats = 0
        assert socket.complete_until == 180.0

    @pytest.mark.parametrize(("now", "is_overdue"), [(150.0, False), (150.1, True)])
    def test_the_next_beat_is_overdue_after_ten_seconds(self, now: float, *, is_overdue: bool) -> None:
        assert self.beating().is_overdue(now, PACE) is is_overdue

    def test_an_event_that_waited_here_was_sent_earlier(self) -> None:
        socket = self.beating()
        socket.sent_at = 110.0  # the last proof is that old
        assert socket.is_overdue(135.1, PACE)  # 110 + ping 12 + late 3 + beat 10

    def test_time_that_stood_still_is_no_silence(self) -> None:
        socket = self.beating()
        assert socket.silent_since() == 140.0
        socket.stood_still(200.0)
        assert socket.silent_since() == 200.0


class TestHeldEvents:
    def test_they_wait_until_they_are_released(self) -> None:
        socket = opened()
        socket.hold(OTHER, b"1")
        assert socket.release() == [(OTHER, b"1")]
        assert socket.held is None
        socket.hold(OTHER, b"2")  # none waits any more
        assert socket.release() == []

    def test_before_a_socket_is_ready_a_thousand_wait(self) -> None:
        socket = opened()
        for _ in range(1100):
            socket.hold(OTHER, None)
        assert len(socket.held or ()) == 1000
        socket.is_ready = True
        socket.hold(OTHER, None)
        assert len(socket.held or ()) == 1001


class TestSuccession:
    def test_a_change(self) -> None:
        sockets = Succession(PACE)
        assert (list(sockets), sockets.is_overlapping) == ([], False)
        first = sockets.open(0.0, "a")
        sockets.promote(first, replace_at=1000.0)
        assert (sockets.main, sockets.next, sockets.replace_at) == (first, None, 1000.0)
        sockets.is_change_wanted = True
        second = sockets.open(1000.0, "b")
        assert ([each.number for each in sockets], sockets.is_overlapping) == ([1, 2], True)
        sockets.promote(second, replace_at=2000.0)
        sockets.retire(1001.0, first)
        assert not sockets.is_change_wanted
        assert (sockets.main, sockets.old, sockets.close_until) == (second, first, 1001.0 + PACE.drain)
        assert (sockets.find(1), sockets.find(2), sockets.find(3)) == (first, second, None)
        sockets.remove_old()
        assert (list(sockets), sockets.close_until) == ([second], math.inf)

    def test_a_comparison_ends_with_either_socket(self) -> None:
        sockets = Succession(PACE)
        sockets.promote(sockets.open(0.0, "a"), replace_at=1000.0)
        second = sockets.open(1.0, "a", is_compared=True)
        assert sockets.compared is second
        sockets.remove_next()
        assert sockets.compared is None
        third = sockets.open(2.0, "a", is_compared=True)
        assert (sockets.compared, third.news_at) == (third, math.inf)
        sockets.remove_main()
        assert (sockets.compared, sockets.next) == (None, third)
        sockets.promote(third, replace_at=1000.0)
        sockets.open(3.0, "a")
        assert sockets.compared is None, "that one is there to replace"
