"""The sandbox's stream, by a client of its own: websockets as it is, and HTTP."""

import json
import math
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: TID251  a client that is not ours
from websockets.sync.client import ClientConnection, connect  # noqa: TID251  a client that is not ours

from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox, _websocket
from tests.conftest import API_KEY

EVENT = {"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": "1"}


@pytest.fixture
def sandbox(listenkey_sandbox: Sandbox) -> Sandbox:
    return listenkey_sandbox


def key_of(sandbox: Sandbox, api_key: str = API_KEY) -> str:
    with ListenKeyClient(api_key, base_url=sandbox.url) as client:
        return client.start().value


def got(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=45))


def post(sandbox: Sandbox, path: str, body: object) -> tuple[int, str]:
    request = urllib.request.Request(sandbox.url + path, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=45) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/ws/{}", "/ws?listenKey={}"])
def test_a_key_in_the_address_brings_bare_events(sandbox: Sandbox, path: str) -> None:
    key = key_of(sandbox)
    with connect(sandbox.stream_url + path.format(key)) as socket:
        assert sandbox.stream.connections == 1
        assert sandbox.emit(EVENT) == 1
        assert got(socket) == EVENT


@pytest.mark.parametrize("subscribe", [True, False])
def test_the_stream_path_brings_wrapped_events(sandbox: Sandbox, subscribe: bool) -> None:
    key = key_of(sandbox)
    with connect(sandbox.stream_url + "/stream" + ("" if subscribe else f"?streams={key}")) as socket:
        if subscribe:
            socket.send(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 7}))
            assert got(socket) == {"result": None, "id": 7}
        sandbox.emit(EVENT)
        assert got(socket) == {"stream": key, "data": EVENT}
        sandbox.expire()
        assert got(socket)["data"]["e"] == "listenKeyExpired"


@pytest.mark.parametrize(
    ("message", "code", "number"),
    [
        ("x", 3, None),
        ("[" * 9999, 3, None),
        ("[]", 2, None),
        ('{"method": "SUBSCRIBE", "params": ["k"]}', 2, None),
        ('{"method": "SUBSCRIBE", "params": ["k"], "id": "a"}', 2, None),
        ('{"method": "SUBSCRIBE", "params": ["k"], "id": -1}', 2, None),
        ('{"method": "SUBSCRIBE", "params": ["k"], "id": true}', 2, None),
        ('{"method": "SUBSCRIBE", "params": ["k"], "id": 1.5}', 2, None),
        ('{"method": "SUBSCRIBE", "params": "k", "id": 1}', 2, 1),
        ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2, 1),
        ('{"method": "LIST", "id": 1}', 2, 1),
    ],
)
def test_what_is_no_subscription_is_refused(sandbox: Sandbox, message: str, code: int, number: int | None) -> None:
    with connect(sandbox.stream_url + "/stream") as socket:
        for _ in range(2):
            socket.send(message)
            answer = got(socket)
            assert (answer["error"]["code"], answer["id"]) == (code, number)
            socket.send(b"bytes are passed over")
        socket.send('{"method": "LIST_SUBSCRIPTIONS", "id": 4}')
        assert got(socket) == {"result": [], "id": 4}


def test_subscriptions_are_taken_back_and_listed(sandbox: Sandbox) -> None:
    key, other = key_of(sandbox), key_of(sandbox, "other")
    with connect(f"{sandbox.stream_url}/stream?streams={key}/made-up") as socket:
        socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 0}))
        assert got(socket) == {"result": [key, "made-up"], "id": 0}
        socket.send(json.dumps({"method": "UNSUBSCRIBE", "params": [key, "never was"], "id": 1}))
        assert got(socket) == {"result": None, "id": 1}
        assert sandbox.emit(EVENT) == 0
        text = json.dumps({"method": "SUBSCRIBE", "params": [other, other, "made-up"], "id": 2})
        socket.send([text[:9], text[9:]])  # in two fragments
        assert got(socket) == {"result": None, "id": 2}
        socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        assert got(socket) == {"result": [other, "made-up"], "id": 3}
        assert sandbox.emit(EVENT) == 1
        assert got(socket)["stream"] == other


def test_a_key_that_does_not_exist_is_taken_and_brings_nothing(sandbox: Sandbox) -> None:
    with connect(sandbox.stream_url + "/ws/made-up") as socket:
        assert sandbox.emit(EVENT) == 0
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.1)


def test_events_go_to_one_account(sandbox: Sandbox) -> None:
    with (
        connect(f"{sandbox.stream_url}/ws/{key_of(sandbox, 'one')}") as one,
        connect(f"{sandbox.stream_url}/ws/{key_of(sandbox, 'two')}") as two,
    ):
        assert post(sandbox, "/events", {"event": EVENT, "account": "two"}) == (200, '{"sent":1}')
        assert post(sandbox, "/events", {"event": {**EVENT, "E": 2}}) == (200, '{"sent":2}')
        assert post(sandbox, "/events", {"event": EVENT, "account": "three"}) == (200, '{"sent":0}')
        assert (got(one)["E"], got(two)["E"], got(two)["E"]) == (2, 1, 2)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/events", {"account": "x"}, 'with \\"event\\" in it'),
        ("/events", {"event": 7}, "must be a mapping"),
        ("/events", {"event": EVENT, "other": 1}, "unexpected keyword"),
        ("/events", {"event": EVENT, "account": 1}, "account must be the name of an account"),
        ("/faults", {"fault": "stream-drop", "other": 1}, "has no option 'other'; it has: only"),
        ("/faults", {"fault": "stream-close", "other": 1}, "has no option 'other'; it has: only, code"),
        ("/faults", {"fault": "stream-oops"}, "There is no fault 'stream-oops'; there are: status, "),
    ],
)
def test_what_cannot_be_done_is_said(sandbox: Sandbox, path: str, body: object, text: str) -> None:
    status, answer = post(sandbox, path, body)
    assert status == 400
    assert text in answer
    with pytest.raises(ValueError, match=r"There is no fault 'stream-x'; there are: status, .*, stream-accept-close"):
        sandbox.stream.fault("stream-x")
    with pytest.raises(ValueError, match=r"Fault reset is none of the stream, whose faults are: stream-drop, "):
        sandbox.stream.fault("reset")


def test_the_end_of_a_key_is_told_once_and_to_each_socket(sandbox: Sandbox) -> None:
    key = key_of(sandbox)
    with connect(f"{sandbox.stream_url}/ws/{key}") as one, connect(f"{sandbox.stream_url}/ws/{key}") as two:
        with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            assert client.delete()
        for socket in (one, two):
            assert got(socket)["listenKey"] == key
        sandbox.stream.look()
        with pytest.raises(TimeoutError):
            one.recv(timeout=0.1)


def test_a_mute_socket_is_not_told(sandbox: Sandbox) -> None:
    with connect(f"{sandbox.stream_url}/ws/{key_of(sandbox)}") as socket:
        assert post(sandbox, "/faults", {"fault": "stream-mute"}) == (204, "")
        sandbox.expire()
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)
        assert socket.ping().wait(45)


def test_a_half_open_socket_is_silent_whatever_happens(sandbox: Sandbox) -> None:
    with connect(f"{sandbox.stream_url}/ws/{key_of(sandbox)}", close_timeout=0.1) as socket:
        sandbox.stream.fault("stream-half-open")
        sandbox.stream.fault("stream-frame")
        assert sandbox.emit(EVENT) == 0
        assert not socket.ping().wait(0.2)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.1)


def test_a_key_that_runs_out_and_a_connection_whose_life_is_over() -> None:
    with Sandbox(life=1.0) as sandbox:
        sandbox.stream.connection_life = 2.0
        with connect(f"{sandbox.stream_url}/ws/{key_of(sandbox)}") as socket:
            assert got(socket)["e"] == "listenKeyExpired"
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(timeout=45)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


def test_only_the_newest_receives(sandbox: Sandbox) -> None:
    sandbox.stream.receivers = "newest"
    key = key_of(sandbox)
    with connect(f"{sandbox.stream_url}/ws/{key}") as old, connect(f"{sandbox.stream_url}/ws/{key}") as new:
        assert sandbox.emit(EVENT) == 1
        assert got(new) == EVENT
        with pytest.raises(TimeoutError):
            old.recv(timeout=0.1)


def test_a_new_one_closes_the_others_of_its_key(sandbox: Sandbox) -> None:
    sandbox.stream.receivers = "newest, and the others are closed"
    key = key_of(sandbox)
    with (
        connect(f"{sandbox.stream_url}/ws/{key_of(sandbox, 'other')}") as other,
        connect(f"{sandbox.stream_url}/ws/{key}") as old,
        connect(f"{sandbox.stream_url}/ws/{key}") as new,
    ):
        with pytest.raises(ConnectionClosed):
            old.recv(timeout=45)
        assert sandbox.emit(EVENT) == 2
        assert got(new) == got(other) == EVENT
        sandbox.stream.fault("stream-close", code=1000)
        sandbox.stream.fault("stream-close")  # they are closed already
        sandbox.emit(EVENT)


def test_a_handshake_can_be_refused(sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-refuse", status=429, headers={"Retry-After": "7"})
    with pytest.raises(InvalidStatus) as caught:
        connect(sandbox.stream_url + "/ws/x").__enter__()
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "7"


def test_without_the_library_it_says_which_package_is_missing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "websockets.server", None)
    with pytest.raises(InvalidStatus) as caught:
        connect(sandbox.stream_url + "/ws/x").__enter__()
    assert caught.value.response.status_code == 501
    assert "pip install 'binance-options-listenkey[stream]'" in caught.value.response.headers["X-Sandbox"]


def test_a_request_that_is_no_upgrade_is_a_call(sandbox: Sandbox) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(sandbox.url + "/private/ws/x", timeout=45)
    caught.value.close()


def test_the_record_has_no_key(sandbox: Sandbox) -> None:
    key = key_of(sandbox)
    with connect(f"{sandbox.stream_url}/ws/{key}"):
        assert key not in str(sandbox.requests)
        assert sandbox.requests[-1].path == "/private/ws"


def test_it_stops_with_open_sockets() -> None:
    with Sandbox() as sandbox:
        socket = connect(sandbox.stream_url + "/ws/x").__enter__()
    with pytest.raises(ConnectionClosed):
        socket.recv(timeout=45)
    socket.__exit__(None, None, None)


# As strict as the pages say


def closed(socket: ClientConnection) -> tuple[int, str]:
    """Read up to the end, and tell the close frame of the sandbox."""
    with pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=20)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def handshake(sandbox: Sandbox, path: str = "/private/ws/x") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@contextmanager
def raw_socket(sandbox: Sandbox, key: str = "x", *, more: bytes = b"") -> Iterator[socket.socket]:
    """A WebSocket that reads and answers nothing by itself."""
    address = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=20) as connection:
        connection.sendall(handshake(sandbox, f"/private/ws/{key}") + more)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield connection


def frame(opcode: int, content: bytes) -> bytes:
    return bytes([0x80 | opcode, 0x80 | len(content)]) + bytes(4) + content  # with a mask of zeros


def test_a_client_that_answers_no_ping_is_closed(sandbox: Sandbox) -> None:
    assert (sandbox.stream.ping_every, sandbox.stream.pong_within) == (300, 900)
    sandbox.stream.ping_every, sandbox.stream.pong_within = 0.3, 0.9
    with raw_socket(sandbox) as silent, raw_socket(sandbox) as beside, connect(sandbox.stream_url + "/ws/y") as alive:
        began = time.monotonic()
        opcode, size = silent.recv(2)
        content = silent.recv(size)
        assert (opcode, content.isdigit()) == (0x89, True)  # a ping, with the time in milliseconds
        for _ in range(20):
            beside.sendall(frame(10, b"unasked"))  # pongs that answer no ping
            time.sleep(0.05)
        for connection in (silent, beside):
            seen = b""
            while b"Pong timeout" not in seen:
                seen += connection.recv(999)
        assert time.monotonic() - began >= 0.9
        time.sleep(0.7)  # the third has answered each ping meanwhile
        assert alive.ping().wait(10)


def test_pings_shrink_with_life_but_never_mistake_a_busy_machine() -> None:
    assert Sandbox(life=720).stream.ping_every == 60
    assert Sandbox(life=720).stream.pong_within == 180
    assert (Sandbox(life=1).stream.ping_every, Sandbox(life=1).stream.pong_within) == (1, 5)


@pytest.mark.parametrize("opcode", [1, 2, 9])
def test_more_than_ten_messages_in_a_second_end_the_connection(sandbox: Sandbox, opcode: int) -> None:
    with raw_socket(sandbox, more=frame(opcode, b"hi") * 11) as connection, connection.makefile("rb") as file:
        connection.sendall(frame(8, b""))
        assert b"Too many requests" in file.read()


def test_pongs_and_ten_messages_are_no_flood(sandbox: Sandbox) -> None:
    more = (frame(9, b"hi") + frame(10, b"hi") * 5) * 10
    with raw_socket(sandbox, more=more) as connection, connection.makefile("rb") as file:
        connection.sendall(frame(8, b""))
        answer = file.read()
    assert answer == (b"\x8a\x02hi") * 10 + b"\x88\x00"


def test_a_message_that_comes_together_with_the_handshake_is_read(sandbox: Sandbox) -> None:
    message = frame(1, b'{"method":"LIST_SUBSCRIPTIONS","id":1}')
    with raw_socket(sandbox, more=message) as connection:
        assert b'"result": ["x"]' in connection.recv(999)


def test_a_client_that_does_not_answer_a_close_frame_is_reset(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "_CLOSING", 0.5)
    with raw_socket(sandbox) as connection:
        sandbox.stream.fault("stream-close")
        assert connection.recv(99) == b"\x88\x02\x03\xe9"
        with pytest.raises(ConnectionResetError):
            connection.recv(99)
    assert sandbox.stream.connections == 0


# A client that does not read


def test_a_client_that_does_not_read_holds_up_nobody_and_is_reset(sandbox: Sandbox) -> None:
    key = key_of(sandbox)
    other = key_of(sandbox, "other")
    with raw_socket(sandbox, key) as deaf, connect(f"{sandbox.stream_url}/ws/{other}") as reading:
        taken = 0
        while sandbox.emit({"e": "NEWS", "text": "x" * 100_000}, account=API_KEY):
            taken += 100_000
        assert taken > 16 * 2**20
        assert sandbox.emit(EVENT) == 1
        assert got(reading) == EVENT
        sandbox.expire()
        assert got(reading)["e"] == "listenKeyExpired"
        with pytest.raises(ConnectionResetError), deaf.makefile("rb") as file:
            file.read()


def test_a_client_that_reads_late_gets_everything(sandbox: Sandbox) -> None:
    with connect(f"{sandbox.stream_url}/ws/{key_of(sandbox)}", max_size=None, max_queue=1) as late:
        sent = [{**EVENT, "E": number, "text": "x" * 100_000} for number in range(100)]  # 10 MB
        for event in sent:
            assert sandbox.emit(event) == 1
        sandbox.stream.fault("stream-huge", bytes=20_000_000)
        for event in sent:
            assert got(late) == event
        assert len(late.recv(timeout=20)) == 20_000_000
        assert sandbox.emit(EVENT) == 1
        assert got(late) == EVENT


@pytest.mark.parametrize("fault", [None, "stream-half-open", "stream-close", "stream-mute"])
def test_close_is_bounded_with_a_client_that_does_not_read(fault: str | None) -> None:
    threads = threading.active_count()
    with Sandbox() as sandbox, raw_socket(sandbox, key_of(sandbox)):
        for _ in range(100):
            sandbox.emit({"e": "NEWS", "text": "x" * 100_000})
        if fault:
            sandbox.stream.fault(fault)
        emitting = threading.Thread(target=lambda: [sandbox.emit(EVENT) for _ in range(1000)])
        emitting.start()
        sandbox.close()
        emitting.join()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("listenkey-sandbox")]
    assert threading.active_count() <= threads


# One list of faults


def test_a_fault_of_the_stream_is_like_any_other(sandbox: Sandbox) -> None:
    with raw_socket(sandbox) as connection:
        sandbox.faults.add("stream-drop")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(sandbox.stream_url + "/ws/x") as one, connect(sandbox.stream_url + "/ws/x") as two:
        assert post(sandbox, "/faults", {"fault": "stream-frame", "text": "a", "only": 1}) == (204, "")
        sandbox.faults.add("stream-frame", text="b")
        assert [one.recv(timeout=20), one.recv(timeout=20), two.recv(timeout=20)] == ["a", "b", "b"]
    assert sandbox.faults.waiting == []


def test_a_fault_that_finds_no_connection_waits_for_the_next(sandbox: Sandbox) -> None:
    sandbox.faults.add("reset")
    sandbox.faults.add("stream-refuse", status=429)
    sandbox.faults.add("stream-close", times=2, code=4000)
    assert sandbox.faults.waiting == ["reset", "stream-refuse", "stream-close"]
    with pytest.raises(InvalidStatus):
        connect(sandbox.stream_url + "/ws/x").__enter__()
    for _ in range(2):
        with connect(sandbox.stream_url + "/ws/x") as socket:
            assert closed(socket)[0] == 4000
    with connect(sandbox.stream_url + "/ws/x") as socket:
        assert socket.ping().wait(20)
    assert sandbox.faults.waiting == ["reset"]


def test_times_counts_the_open_connections_once(sandbox: Sandbox) -> None:
    key = key_of(sandbox)
    with connect(f"{sandbox.stream_url}/ws/{key}"):
        sandbox.faults.add("stream-mute", times=None)
        with connect(f"{sandbox.stream_url}/ws/{key}"), connect(f"{sandbox.stream_url}/ws/{key}"):
            assert sandbox.emit(EVENT) == 0
            sandbox.faults.clear()
            with connect(f"{sandbox.stream_url}/ws/{key}"):
                assert sandbox.emit(EVENT) == 1


def test_faults_that_wait_for_handshakes_are_taken_back(sandbox: Sandbox) -> None:
    for fault in ("stream-refuse", "stream-redirect", "stream-accept-close", "stream-drop"):
        assert post(sandbox, "/faults", {"fault": fault, "times": None}) == (204, "")
    request = urllib.request.Request(sandbox.url + "/faults", method="DELETE")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 204
    assert sandbox.faults.waiting == []
    with connect(sandbox.stream_url + "/ws/x") as socket:
        assert socket.ping().wait(20)


def test_the_old_name_for_a_fault_of_the_stream_never_waits(sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-drop")
    assert sandbox.faults.waiting == []
    sandbox.stream.fault("stream-refuse", times=2, status=500)
    for _ in range(2):
        with pytest.raises(InvalidStatus, match="500"):
            connect(sandbox.stream_url + "/ws/x").__enter__()
    with connect(sandbox.stream_url + "/ws/x") as one, connect(sandbox.stream_url + "/ws/x") as two:
        sandbox.stream.fault("stream-frame", 1, text="a")
        sandbox.stream.fault("stream-frame", only=None, text="b")
        assert [one.recv(timeout=20), one.recv(timeout=20), two.recv(timeout=20)] == ["a", "b", "b"]


def test_a_handshake_that_fails_takes_no_fault(sandbox: Sandbox) -> None:
    sandbox.faults.add("stream-refuse")
    with pytest.raises(urllib.error.HTTPError, match="426") as caught:
        urllib.request.urlopen(
            urllib.request.Request(sandbox.url + "/private/ws/x", headers={"Upgrade": "websocket"}), timeout=20
        )
    caught.value.close()
    assert sandbox.faults.waiting == ["stream-refuse"]


@pytest.mark.parametrize(
    "event", [{"e": "NEWS", "x": object()}, {"e": "NEWS", "x": {1: {2, 3}}}, {"e": "NEWS", "x": math.nan}]
)
def test_an_event_that_json_cannot_hold_is_refused(sandbox: Sandbox, event: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be something that JSON can hold"):
        sandbox.emit(event)


def test_any_mapping_is_an_event(sandbox: Sandbox) -> None:
    with connect(f"{sandbox.stream_url}/ws/{key_of(sandbox)}") as socket:
        assert sandbox.emit(MappingProxyType(EVENT)) == 1
        assert got(socket) == EVENT


def test_the_record_tells_the_status_of_each_handshake(sandbox: Sandbox) -> None:
    sandbox.faults.add("stream-refuse", status=503)
    with pytest.raises(InvalidStatus):
        connect(sandbox.stream_url + "/stream?streams=secret").__enter__()
    with connect(sandbox.stream_url + "/ws/secret", user_agent_header="bot"):
        seen = [(each.method, each.path, each.status) for each in sandbox.requests]
    assert seen == [("GET", "/private/stream", 503), ("GET", "/private/ws", 101)]
    assert sandbox.requests[-1].user_agent == "bot"
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(sandbox.url + "/private/ws/secret", timeout=20)
    caught.value.close()
    assert "secret" not in str(sandbox.requests)


def test_the_command_line_knows_faults_of_the_stream() -> None:
    faults = ["--fault", 'stream-refuse {"status": 429}', "--fault", "stream-close", "--fault", "reset"]
    command = [sys.executable, "-m", "listenkey", "sandbox", "--json", *faults]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            url = json.loads(program.stdout.readline())["url"].replace("http", "ws")
            with pytest.raises(InvalidStatus, match="429"):
                connect(url + "/private/ws/x").__enter__()
            with connect(url + "/private/ws/x") as socket:
                assert closed(socket) == (1001, "")
        finally:
            program.kill()
    bad = [*command, "--fault", "stream-x"]
    refused = subprocess.run(bad, check=False, capture_output=True, text=True, timeout=50)
    assert refused.returncode == 2
    assert "There is no fault 'stream-x'; there are: status, " in refused.stderr
    assert "stream-accept-close" in refused.stderr
    assert "Traceback" not in refused.stderr
