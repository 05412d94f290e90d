"""A recorded day played back: every event, with its pauses and gaps."""

import asyncio
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from listenkey import AsyncListenKeyClient, ListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import AsyncUserDataStream, Gap, Item, RiskLevelChange, UnknownEvent, UserDataStream
from tests.conftest import API_KEY
from tests.sandbox.test_account import snapshot

START = datetime(2026, 11, 29, 12, tzinfo=UTC)


def instant(seconds: float) -> str:
    when = START + timedelta(seconds=seconds)
    return f"{when.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def event(number: int, seconds: float, **raw: Any) -> dict[str, Any]:
    content = raw or {"e": "RISK_LEVEL_CHANGE", "E": number, "mb": "1", "mm": "1"}
    return {"at": instant(seconds), "kind": content.get("e"), "raw": content}


def gap(reason: str, since: float | None, until: float) -> dict[str, Any]:
    begun = None if since is None else instant(since)
    return {"at": instant(until), "gap": {"reason": reason, "since": begun, "until": instant(until), "dropped": 0}}


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "day.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def told(item: Item | None) -> object:
    if isinstance(item, RiskLevelChange):
        return item.raw["E"]
    return item.reason if isinstance(item, Gap) else item


DAY = [gap("started", None, 0), event(1, 1), event(2, 2), gap("reconnected", 3, 5), event(3, 6)]


@pytest.mark.listenkey_sandbox(life=240.0)  # a client waits longer after each loss: here a fifteenth
def test_every_event_arrives_and_every_gap_is_one(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    # Gap by gap: a stream tells two losses by one Gap when the second comes before the key is proven.
    gaps = dict.fromkeys(("reconnected", "mute", "overflow", "started"), "reconnected")
    gaps |= dict.fromkeys(("key_expired", "key_replaced"), "key")
    with (
        ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, key_life=240.0) as client,
        UserDataStream(client) as stream,
    ):
        assert told(next(stream)) == "started"
        for reason, said in gaps.items():
            path = written(tmp_path, event(1, 0), gap(reason, 1, 2), event(2, 3))
            assert listenkey_sandbox.play(path, speed=100) == 2
            heard = [told(stream.next_within(45)) for _ in range(3)]
            assert [str(each).partition("_")[0] if isinstance(each, str) else each for each in heard] == [1, said, 2]


def test_beside_an_event_loop(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    path = written(tmp_path, *DAY)

    async def main() -> None:
        async with (
            AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client,
            AsyncUserDataStream(client) as stream,
        ):
            assert told(await anext(stream)) == "started"
            assert await asyncio.to_thread(listenkey_sandbox.play, path, speed=100) == 3
            assert [told(await stream.next_within(45)) for _ in range(4)] == [1, 2, "reconnected", 3]

    asyncio.run(main())


def test_the_pauses_are_as_long_as_they_were(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    path = written(tmp_path, event(1, 0), event(2, 30), event(3, 10), event(4, 40))  # the clock was set back once
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client, UserDataStream(client):
        began = time.monotonic()
        assert listenkey_sandbox.play(path, speed=60) == 4
        assert time.monotonic() - began >= 1.0


def test_an_event_comes_as_it_came(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    raw = {"e": "NEW_KIND", "id": 2**63 - 1, "rate": "0.10", "more": [None, True, {"x": "ä"}]}
    path = written(tmp_path, event(1, 0, **raw), {"at": instant(0), "kind": None, "raw": {}})
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client, UserDataStream(client) as stream:
        next(stream)
        listenkey_sandbox.play(path)
        first, second = next(stream), next(stream)
    assert isinstance(first, UnknownEvent)
    assert isinstance(second, UnknownEvent)
    assert (first.raw, second.raw) == (raw, {})


def test_the_account_follows_what_is_played(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    position = {"s": "BTC-260626-90000-C", "c": "-2", "p": "-10", "a": "5"}
    raw = {"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "m": "ORDER", "B": [], "P": [position]}
    path = written(tmp_path, event(1, 0, **raw))
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client, UserDataStream(client):
        listenkey_sandbox.play(path)
    assert snapshot(listenkey_sandbox)["positions"][0]["quantity"] == "-2"


def test_nothing_is_played_before_somebody_listens_and_close_ends_it(tmp_path: Path) -> None:
    path = written(tmp_path, event(1, 0))
    with Sandbox() as sandbox:
        played: list[int] = []
        thread = threading.Thread(target=lambda: played.append(sandbox.play(path)))
        thread.start()
        thread.join(0.2)
        assert played == []
    thread.join()
    assert played == [0]


@pytest.mark.parametrize(
    "line",
    ["x", "[]", "{}", '{"at": "now", "raw": {}}', '{"at": "2026-11-29T12:00:00", "raw": {}}',
     '{"at": "2026-11-29T12:00:00Z", "raw": 1}', '{"at": "2026-11-29T12:00:00Z", "gap": 1}', "\x00", "\xff"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "day.jsonl"
    path.write_text(f'\n{line}\n{{"at": "2026-11-29T12:00:00Z", "raw": {{}}}}\n', encoding="latin-1")
    with Sandbox() as sandbox, pytest.raises(ValueError, match=r"^") as caught:
        sandbox.play(path)
    assert str(caught.value) == f"{path}, line 2 is none that `listenkey events --raw` writes."


def test_a_last_line_that_is_cut_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "day.jsonl"
    path.write_bytes('{"at": "2026-11-29T12:00:00Z", "raw": {"c": "é'.encode()[:-1])
    with Sandbox() as sandbox, caplog.at_level(logging.WARNING):
        assert sandbox.play(path) == 0
    assert caplog.messages == [f"{path} ends in the middle of line 1, which is left out."]


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"\n\xff\x00\n")
    with pytest.raises(ValueError, match=r"day\.jsonl, line 2 is none that `listenkey events --raw` writes\.$"):
        Sandbox().play(path)


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_a_speed_that_cannot_be(speed: float) -> None:
    with pytest.raises(ValueError, match=r"^speed must be a number above 0, not "):
        Sandbox().play("nowhere", speed=speed)


def test_a_file_that_is_not_there() -> None:
    with Sandbox() as sandbox, pytest.raises(FileNotFoundError):
        sandbox.play("nowhere")
