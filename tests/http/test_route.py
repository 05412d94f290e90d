"""What the environment says of proxies and certificates: what cannot work is named, what does not matter is not."""

import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx  # noqa: TID251  somebody may pass its URL
import pytest
import trustme

from listenkey import AsyncListenKeyClient, ConfigurationError, ListenKeyClient, TransportError
from listenkey._http.addresses import BASE_URL
from listenkey._http.route import Route, Wishes, hidden, route_to
from listenkey._inside import inside
from tests.conftest import API_KEY, Script, Twin
from tests.http.test_exchange import caught

EXCHANGE = "https://eapi.binance.com"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def route(url: str = EXCHANGE, ssl_context: ssl.SSLContext | None = None) -> Route:
    return route_to(BASE_URL, hidden(url), Wishes(ssl_context=ssl_context))


NO_PROXY_ADDRESS = "HTTPS_PROXY is not the address of a proxy: it must be like http://HOST:PORT, special signs as %2F."


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("HTTPS_PROXY", "gopher://127.0.0.1:1", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://127.0.0.1:65536", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://proxy..example", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://user:hunter2/x@127.0.0.1:1", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://user:hunter2#x@127.0.0.1:1", NO_PROXY_ADDRESS),
        *(
            (name, f"{scheme}user:12345{sign}x@127.0.0.1:1", NO_PROXY_ADDRESS.replace("HTTPS_PROXY", name.upper()))
            for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy")
            for scheme in ("", "http://", "https://", "socks5://")
            for sign in "?#/"
        ),
        ("HTTPS_PROXY", "http://127.0.0.1:1/path", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://127.0.0.1:1?", NO_PROXY_ADDRESS),
        ("HTTPS_PROXY", "http://127.0.0.1:1/#", NO_PROXY_ADDRESS),
        *(
            (
                name,
                f"{scheme}://127.0.0.1:1",
                f"{name} names a {scheme} proxy, which httpx does not know: write socks5://HOST:PORT.",
            )
            for name in ("HTTPS_PROXY", "ALL_PROXY")
            for scheme in ("socks", "socks4", "socks4a")
        ),
    ],
)
def test_a_proxy_that_cannot_work(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, text: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = caught(lambda: twin(EXCHANGE))
    assert type(error) is ConfigurationError
    assert str(error) == text


NO_PROXY_GIVEN = NO_PROXY_ADDRESS.replace("HTTPS_PROXY", "The parameter proxy")


@pytest.mark.parametrize("url", [EXCHANGE, "http://127.0.0.1:1"])  # no proxy is used for the second
@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        ("", NO_PROXY_GIVEN),  # as of a setting that is unset: a direct connection would show another address
        (" ", NO_PROXY_GIVEN),
        (b"http://127.0.0.1:1", NO_PROXY_GIVEN),
        (False, NO_PROXY_GIVEN),
        (httpx.URL("http://127.0.0.1:1"), NO_PROXY_GIVEN),
        ("http://127.0.0.1:1/path", NO_PROXY_GIVEN),
        ("http://user:12345?x@127.0.0.1:1", NO_PROXY_GIVEN),
        ("gopher://127.0.0.1:1", NO_PROXY_GIVEN),
        (
            "socks4://127.0.0.1:1",
            "The parameter proxy names a socks4 proxy, which httpx does not know: write socks5://HOST:PORT.",
        ),
    ],
    ids=str,
)
def test_a_proxy_that_cannot_be_given(twin: Twin, url: str, proxy: Any, text: str) -> None:
    error = caught(lambda: twin(url, proxy=proxy))
    assert type(error) is ConfigurationError
    assert str(error) == text


def test_accounts_on_different_proxies_are_different_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binance counts weight for the address that it sees."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:one@127.0.0.1:1")
    settings: list[dict[str, Any]] = [
        {"proxy": "http://user:one@127.0.0.1:1"},
        {"proxy": "http://user:two@127.0.0.1:1"},  # often another way out of the same machine
        {"proxy": "socks5://user:one@127.0.0.1:1"},
        {"trust_env": False},
    ]
    clients = [ListenKeyClient(API_KEY, **each) for each in [{}, *settings]]
    addresses = [inside(client).address for client in clients]
    assert addresses[0] is addresses[1]
    assert len(set(addresses)) == 4
    for client in clients:
        client.close()


def test_a_socks_proxy_needs_a_package(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if it were not installed
    error = caught(lambda: twin(EXCHANGE))
    assert str(error) == "ALL_PROXY names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]'."


@pytest.mark.parametrize(
    "entry", ["fd07:b51a:cc66:f0::/64", "[::1]", "::1", "10.0.0.0/8", "http://[", "*.example.com", "a b", ",,"]
)
@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:1"])
def test_an_entry_of_no_proxy_never_refuses_a_client(monkeypatch: pytest.MonkeyPatch, proxy: str, entry: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    assert str(route()) == EXCHANGE + (f" through the proxy {proxy}" if proxy else "")


@pytest.mark.parametrize(
    "entry", ["*", "binance.com", ".binance.com", "eapi.binance.com", "other.example, EAPI.binance.com"]
)
def test_no_proxy_is_followed(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", entry)
    assert route().proxy is None


def test_a_broken_proxy_that_this_client_does_not_use_is_nothing_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    assert route().proxy is None
    monkeypatch.setenv("ALL_PROXY", "socks://")
    assert route("http://127.0.0.1:1").proxy is None  # loopback needs no proxy
    monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:3128")  # goes before ALL_PROXY; no scheme means http
    assert str(route().proxy) == "http://127.0.0.1:3128"


@pytest.mark.parametrize("sign", ["@", "\\", ":", "%2F", "%3F", "[", "'"])
def test_odd_signs_in_a_login_are_part_of_the_login(monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:12345{sign}x@127.0.0.1:3128/")
    assert str(route().proxy) == "http://127.0.0.1:3128"


def test_a_login_of_a_proxy_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:3128")
    assert "hunter2" not in repr(route()) + str(route()) + repr(route().proxy)
    assert str(route()) == f"{EXCHANGE} through the proxy http://127.0.0.1:3128"


def test_a_certificate_file_that_is_not_there(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    error = caught(lambda: twin(EXCHANGE))
    assert type(error) is ConfigurationError
    assert str(error) == "SSL_CERT_FILE names '/nowhere/ca.pem', and there is no such file."


@pytest.mark.parametrize("folder", ["/nowhere", "EMPTY", "/nowhere:EMPTY"])
def test_a_certificate_folder_without_certificates(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "ca.pem").write_text("not named by its hash, so OpenSSL passes it over")
    folder = folder.replace("EMPTY", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", folder)
    error = caught(lambda: twin(EXCHANGE))
    assert str(error) == f"SSL_CERT_DIR names {folder!r}, and no certificate is there: see `openssl rehash`."


def test_a_key_log_that_cannot_be_written(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys.log")
    assert str(caught(lambda: twin(EXCHANGE))) == "SSLKEYLOGFILE names '/nowhere/keys.log', which cannot be written."


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_is_found_by_the_first_call(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    client = twin("https://127.0.0.1:1")
    error = caught(client.start)
    assert type(error) is ConfigurationError
    assert str(error).startswith("The certificates cannot be loaded (SSLError: ")
    assert str(error).endswith(f"): check SSL_CERT_FILE={tmp_path / 'ca.pem'}.")


def test_plain_http_asks_for_no_certificates(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    twin("http://127.0.0.1:1")


def test_an_ssl_context_goes_before_the_environment(
    twin: Twin, tls_url: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    assert twin(tls_url, ssl_context=context).start().value == "k" * 64


def test_the_environment_at_the_begin_of_a_client_counts(
    twin: Twin, tls_url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    client = twin(tls_url)
    monkeypatch.delenv("SSL_CERT_FILE")  # certificates are loaded by the first call
    assert client.start().value == "k" * 64


def test_an_ssl_context_must_be_one(twin: Twin) -> None:
    error = caught(lambda: twin(EXCHANGE, ssl_context="ca.pem"))
    assert str(error) == "ssl_context must be an ssl.SSLContext, not str."


def test_another_certificate_file_makes_another_context(
    tls_url: str, authority: trustme.CA, twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same path, written anew: a company's authority was renewed while the process ran.
    file = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trustme.CA().cert_pem.write_to_path(str(file))
    assert "certificate is not trusted" in str(caught(twin(tls_url).start))
    authority.cert_pem.write_to_path(str(file))
    assert twin(tls_url).start().value == "k" * 64


# Proxies that answer.


def answering(line: bytes) -> Script:
    return lambda proxy: proxy.sendall(b"HTTP/1.1 " + line + b"\r\n\r\n")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 451])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_refuses_is_asked_once_and_named(
    twin: Twin, scripted: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch, status: int, variable: str
) -> None:
    seen: list[bytes] = []

    def refuse(proxy: socket.socket) -> None:
        seen.append(b"asked")
        proxy.sendall(b"HTTP/1.1 %d Basic dXNlcjpodW50ZXIy\r\n\r\n" % status)  # a reason that echoes our login

    address = scripted(refuse)
    monkeypatch.setenv(variable, address.replace("http://", "http://user:hunter2@"))
    error = caught(twin(EXCHANGE).start)
    assert error.__class__.__name__ == "ApiError"
    assert f"No way to {EXCHANGE} through the proxy {address} ({status}): check {variable}" in str(error)
    assert f"(HTTP {status})" in str(error)
    assert "dXNl" not in repr(error) + repr(error.__cause__)
    assert len(seen) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_proxy_with_a_fault_is_tried_again(
    twin: Twin, scripted: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    address = scripted(answering(b"%d secret-reason" % status))
    monkeypatch.setenv("HTTPS_PROXY", address)
    error = caught(twin(EXCHANGE, attempts=2).start)
    assert type(error) is TransportError
    assert str(error) == (
        f"No answer from {EXCHANGE} through the proxy {address} (ProxyError: {status}). Repeating the call is safe."
    )


def test_a_dead_proxy_is_named(twin: Twin, closed_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", closed_port.replace("http://", "http://user:hunter2@"))
    error = caught(twin(EXCHANGE, attempts=1).start)
    assert str(error).startswith(f"No answer from {EXCHANGE} through the proxy {closed_port} (ConnectError: ")


def socks(*answers: bytes) -> Callable[[socket.socket], None]:
    """Speak SOCKS5 as far as the answers go, then close the connection."""

    def script(proxy: socket.socket) -> None:
        for answer in answers:
            proxy.recv(100)
            proxy.sendall(answer)
        proxy.recv(100)

    return script


@pytest.fixture
def socks_proxy(
    scripted: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[socket.socket], None]], list[int]]:
    """Serve as ALL_PROXY; the list has an item for each connection."""

    def serve(script: Script) -> list[int]:
        counted: list[int] = []

        def counting(proxy: socket.socket) -> None:
            counted.append(1)
            script(proxy)

        address = scripted(counting, reads_head=False)
        monkeypatch.setenv("ALL_PROXY", address.replace("http://", "socks5://user:hunter2@"))
        return counted

    return serve


@pytest.mark.parametrize(
    "script",
    [
        socks(),  # closes at once
        socks(b"\x05"),  # half an answer
        socks(b"\xff" * 10),
        socks(b"\x05\x02", b"\x01\x00", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"),  # connection refused
        socks(b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x09"),  # an address of no known kind
    ],
    ids=["closes", "half", "garbage", "refused", "odd address"],
)
def test_whatever_a_socks_proxy_does_is_no_answer(
    twin: Twin, socks_proxy: Callable[[Script], list[int]], script: Script
) -> None:
    counted = socks_proxy(script)
    error = caught(twin(EXCHANGE, attempts=2, timeout=3).start)
    assert type(error) is TransportError
    assert error.__cause__ is not None
    assert "through the proxy socks5://127.0.0.1:" in str(error)
    assert "hunter2" not in str(error)
    assert len(counted) == 2  # retried


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (socks(b"\x05\xff"), 407),  # no way to log in that both know
        (socks(b"\x05\x02", b"\x01\x01"), 407),  # wrong password
        (socks(b"\x05\x02"), 407),  # the same, and said by closing the connection
        (socks(b"\x05\x02", b"\x01\x00", b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), 403),  # not by its rules
    ],
    ids=["no common login", "wrong password", "closes at the login", "rules"],
)
def test_a_socks_proxy_that_refuses_is_asked_once(
    twin: Twin, socks_proxy: Callable[[Script], list[int]], script: Script, status: int
) -> None:
    counted = socks_proxy(script)
    error = caught(twin(EXCHANGE, timeout=3).start)
    assert error.__class__.__name__ == "ApiError"
    assert f"({status}): check ALL_PROXY" in str(error)
    assert len(counted) == 1


@pytest.mark.parametrize("kind", [ListenKeyClient, AsyncListenKeyClient])
def test_plain_http_is_for_a_host_that_the_caller_names(
    kind: type[ListenKeyClient | AsyncListenKeyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = kind(API_KEY, base_url="http://Sandbox:8080", plain_http_host="sandbox")
    assert inside(client).route.proxy is None, "the API key goes through no proxy in clear"
    kind(API_KEY, base_url="http://[fd00::1]:8080", plain_http_host="fd00::1")
    kind(API_KEY, base_url="https://example.com", plain_http_host="sandbox")
    for named in (None, "", "another", "sandbox:8080", 1):
        with pytest.raises(ConfigurationError, match="and for the host that plain_http_host names"):
            kind(API_KEY, base_url="http://sandbox:8080", plain_http_host=named)  # type: ignore[arg-type]
