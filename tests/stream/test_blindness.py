"""What the log tells of a link that brings nothing, as tables: when, how often, and word for word."""

import math
from datetime import UTC, datetime

import pytest

from listenkey import ListenKeyError
from listenkey.stream._blindness import Blindness, Silence
from listenkey.stream._pace import Pace

PACE = Pace()
THEN = datetime(2026, 3, 27, tzinfo=UTC)


class TestBlindness:
    def test_warnings_become_rarer_up_to_half_an_hour(self) -> None:
        blindness, due = Blindness(0.0, PACE), []
        for _ in range(8):
            due.append(blindness.warn_at)
            blindness.warn(blindness.warn_at, "no connection", None, None)
        assert due == [10, 40, 130, 400, 1210, 3010, 4810, 6610]
        assert blindness.warnings == 8

    def test_each_blindness_is_told_anew(self, caplog: pytest.LogCaptureFixture) -> None:
        blindness = Blindness(0.0, PACE)
        blindness.warn(10.0, "no connection", None, None)
        blindness.end(12.0)
        assert (blindness.began_at, blindness.warn_at) == (None, math.inf)
        assert caplog.messages[-1] == "events come again, after 12 s; a Gap tells what may be missing"
        blindness.begin(100.0)
        assert (blindness.began_at, blindness.warn_at, blindness.warnings) == (100.0, 110.0, 0)

    def test_a_short_blindness_is_not_told(self, caplog: pytest.LogCaptureFixture) -> None:
        Blindness(0.0, PACE).end(9.0)
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("since", "error", "message", "reason"),
        [
            (None, None, "no events for 10 s: no connection", "no connection"),
            (THEN, ListenKeyError("It broke."), "no events for 10 s: no connection: It broke.", "It broke."),
        ],
    )
    def test_a_warning_says_how_long_and_why(
        self,
        since: datetime | None,
        error: ListenKeyError | None,
        message: str,
        reason: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        Blindness(0.0, PACE).warn(10.0, "no connection", since, error)
        (record,) = caplog.records
        assert record.getMessage() == message
        told = vars(record)
        assert (told["listenkey_event"], told["listenkey_seconds"], told["listenkey_reason"]) == ("blind", 10.0, reason)
        assert told["listenkey_since"] == (since and since.isoformat())


class TestSilence:
    def test_a_silent_connection_is_warned_of_once_an_hour(self, caplog: pytest.LogCaptureFixture) -> None:
        silence = Silence(0.0, PACE)
        assert silence.look_at == PACE.remind
        silence.look(PACE.remind, is_silent=False)
        assert (silence.look_at, caplog.messages) == (2 * PACE.remind, [])
        silence.look(2 * PACE.remind, is_silent=True)
        assert caplog.messages == ["the connection is open, and has brought no event yet"]
        silence.warn(3 * PACE.remind - 1, "no event for a while")
        assert len(caplog.messages) == 1
        silence.warn(3 * PACE.remind, "no event for a while")
        assert caplog.messages[1:] == ["no event for a while"]
