"""The sandbox's stream, by a client of its own: websockets as it is, and HTTP."""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: TID251  a client that is not ours
from websockets.sync.client import ClientConnection, connect  # noqa: TID251  a client that is not ours

from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox

from .conftest import API_KEY

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


@pytest.mark.parametrize("message", ["x", "[]", '{"method": "LIST", "id": 1}', '{"method": "SUBSCRIBE", "id": "a"}'])
def test_what_is_no_subscription_is_refused(sandbox: Sandbox, message: str) -> None:
    with connect(sandbox.stream_url + "/stream") as socket:
        socket.send(message)
        assert got(socket)["error"]["code"] == 2
        socket.send(b"bytes are passed over")
        socket.send(message)
        assert got(socket)["error"]["code"] == 2


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
        assert post(sandbox, "/events", {"event": EVENT, "account": "two"}) == (204, "")
        assert post(sandbox, "/events", {"event": {**EVENT, "E": 2}}) == (204, "")
        assert (got(one)["E"], got(two)["E"], got(two)["E"]) == (2, 1, 2)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/events", {"account": "x"}, 'with \\"event\\" in it'),
        ("/events", {"event": 7}, "must be a mapping"),
        ("/events", {"event": EVENT, "other": 1}, "unexpected keyword"),
        ("/faults", {"fault": "stream-drop", "other": 1}, "has no option 'other'; it has: none"),
        ("/faults", {"fault": "stream-close", "other": 1}, "has no option 'other'; it has: code"),
    ],
)
def test_what_cannot_be_done_is_said(sandbox: Sandbox, path: str, body: object, text: str) -> None:
    status, answer = post(sandbox, path, body)
    assert status == 400
    assert text in answer
    with pytest.raises(ValueError, match="no fault 'stream-x' of the stream"):
        sandbox.stream.fault("stream-x")


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
