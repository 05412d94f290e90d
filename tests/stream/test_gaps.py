"""A loss until its Gap, and what is known of the listen key, as tables."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from listenkey.stream import Gap
from listenkey.stream._gaps import Gaps, Loss
from listenkey.stream._known_key import KnownKey
from listenkey.stream._pace import Pace

PACE = Pace()


def at(moment: float) -> datetime:
    return datetime(2026, 3, 27, tzinfo=UTC) + timedelta(seconds=moment)


class TestLosses:
    def started(self) -> Gaps:
        gaps = Gaps()
        gaps.await_proof(gaps.take_lost() or Loss("mute", 0.0))
        gaps.take_unproven()
        return gaps

    def test_the_stream_begins_with_a_loss(self) -> None:
        assert Gaps().current == Loss("started", None)

    @pytest.mark.parametrize(
        ("first", "second", "both"),
        [
            (Loss("reconnected", 5.0), Loss("mute", 3.0), Loss("mute", 3.0)),
            (Loss("mute", 3.0), Loss("reconnected", 5.0), Loss("mute", 3.0)),
            (Loss("key_replaced", 9.0), Loss("key_expired", 7.0), Loss("key_expired", 7.0)),
            (Loss("key_expired", 1.0), Loss("key_replaced", 2.0), Loss("key_expired", 1.0)),
            (Loss("started", None), Loss("key_expired", 7.0), Loss("started", None)),
        ],
    )
    def test_losses_that_come_together_are_one_since_the_earliest(self, first: Loss, second: Loss, both: Loss) -> None:
        gaps = self.started()
        assert not gaps.lose(first)
        assert not gaps.lose(second)
        assert gaps.take_lost() == both
        assert gaps.current is None

    def test_a_gap_that_never_came_is_part_of_the_next(self) -> None:
        gaps = self.started()
        gaps.await_proof(Loss("mute", 2.0))
        assert gaps.lose(Loss("reconnected", 5.0))
        assert (gaps.lost, gaps.unproven) == (Loss("mute", 2.0), None)

    def test_events_that_no_socket_brought_are_told_since_the_earliest_and_once(self) -> None:
        gaps = self.started()
        assert not gaps.has_unseen
        gaps.note_unseen(7.0)
        gaps.note_unseen(5.0)
        gaps.note_unseen(9.0)
        assert gaps.has_unseen
        assert (gaps.take_unseen(), gaps.take_unseen()) == (5.0, math.inf)


class TestTheGap:
    @pytest.mark.parametrize(("began_at", "since"), [(None, None), (5.0, at(5.0))])
    def test_a_loss_becomes_a_gap_and_a_log_record(
        self, began_at: float | None, since: datetime | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "listenkey.stream")
        assert Loss("mute", began_at).gap(at, 9.0) == Gap("mute", since, at(9.0))
        (record,) = caplog.records
        assert record.getMessage() == "events may be missing: mute"
        told = vars(record)
        assert (told["listenkey_event"], told["listenkey_reason"]) == ("gap", "mute")
        assert told["listenkey_since"] == (since and since.isoformat())
        assert told["listenkey_until"] == at(9.0).isoformat()


class TestTheKey:
    @pytest.mark.parametrize(
        ("value", "proven_at", "is_other"),
        [("b", 0.0, True), ("a", 19.0, False), ("a", 20.0, False), ("a", 20.1, True)],
    )
    def test_after_its_end_another_key_or_a_later_proof_is_needed(
        self, value: str, proven_at: float, *, is_other: bool
    ) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        assert key.end(20.0, "a", "said")
        assert key.is_other(value, proven_at) is is_other

    def test_a_living_key_is_replaced_by_another_alone(self) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        assert not key.is_other("a", 99.0)
        assert key.is_other("b", 0.0)

    def test_an_end_is_told_once(self) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        assert not key.end(20.0, "old", "said")  # of an older key
        assert key.end(20.0, "a", "said")
        assert not key.end(21.0, "a", "said")
        key.replace("a")  # proven anew
        assert not key.end(22.0, "a", "said")  # a copy that is late
        assert key.end(23.0, "a", "said later")

    def test_an_end_without_a_time_is_told_once_while_it_lasts(self) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        assert (key.end(20.0, "a", None), key.end(21.0, "a", None)) == (True, False)
        key.replace("a")
        assert key.end(22.0, "a", None)

    def test_wishes_are_repeated_after_half_a_minute(self) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        assert (key.renewal_at, key.proof_at) == (math.inf, -math.inf)
        key.ask_proof(5.0)
        assert key.proof_at == 35.0
        key.want_proof()
        assert key.proof_at == -math.inf
        key.end(40.0, "a", 1)
        assert (key.renewal_at, key.proof_at) == (-math.inf, math.inf)  # a dead key is not proven
        key.ask_renewal(40.0)
        assert key.renewal_at == 70.0

    def test_a_doubt_ends_with_a_later_proof(self) -> None:
        key = KnownKey("a", 0.0, renew=30.0)
        key.doubt(5.0)
        key.prove(4.0)
        assert key.is_doubted
        key.prove(5.0)
        key.prove(1.0)
        assert (key.is_doubted, key.proven_at) == (False, 5.0)
