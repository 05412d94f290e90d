"""Addresses as people write them: of the exchange, of its stream, of a proxy. Read whole, or refused.

No error here quotes a value that may hold a password. No error is raised where a frame shows that value.
"""

import base64
import ipaddress
import re
from typing import NamedTuple

import httpx

from listenkey._http.masking import Secret
from listenkey.errors import ConfigurationError


# A NamedTuple, and no dataclass: Python makes a NamedTuple faster, and an import must not take long.
class AddressSetting(NamedTuple):
    """A setting that names an address.

    Attributes:
        name: the setting's name, for errors.
        encrypted, plain: the schemes, with TLS and in clear.
        example: a value that can work.
    """

    name: str
    encrypted: str
    plain: str
    example: str


BASE_URL = AddressSetting("base_url", "https", "http", "https://eapi.binance.com")
STREAM_URL = AddressSetting("stream_url", "wss", "ws", "wss://fstream.binance.com/private")


def read_address(setting: AddressSetting, value: Secret | type, plain_http_host: str | None) -> httpx.URL:
    """Read the value of a setting. Raises ConfigurationError, in the words of that setting."""
    url = parsed(value)
    if url is None:
        raise ConfigurationError(f"{setting.name} is not a URL: it must be like {setting.example}.")
    if url.userinfo or "@" in str(value):  # in user:pa/ss@host, httpx takes the user for the host
        raise ConfigurationError(f"{setting.name} must not carry a user or a password.")
    if not has_address(url) or re.search("[?#]", str(value)):
        raise ConfigurationError(f"{setting.name} must be a scheme, a host and at most a port and a path.")
    named = isinstance(plain_http_host, str) and url.host == plain_http_host.lower()
    if url.scheme != setting.encrypted and not (url.scheme == setting.plain and (named or is_loopback(url.host))):
        raise ConfigurationError(
            f"{setting.name} must start with {setting.encrypted}: plain {setting.plain} is for loopback addresses, and "
            "for the host that plain_http_host names."
        )
    return url


class Proxy(NamedTuple):
    """A proxy on the way to the exchange.

    Attributes:
        source: who names the proxy: an environment variable, or the parameter `proxy`.
        url: the proxy's address, with user and password if the proxy has a login.
    """

    source: str
    url: httpx.URL

    def secrets(self) -> list[str]:
        """List how texts of others may write the login: as in the setting, as meant, as logged, as a header."""
        if not self.url.password:
            return []
        password = self.url.password.encode()
        header = base64.b64encode(self.url.username.encode() + b":" + password).decode()
        _, _, written = self.url.userinfo.decode("ascii").partition(":")
        return [written, self.url.password, repr(password)[2:-1], header]

    def __str__(self) -> str:
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"

    def __repr__(self) -> str:
        return f"Proxy({self.source!r})"


def read_proxy(source: str, value: str | type) -> Proxy | str:
    """Read the address of a proxy. A text: the fault of that address."""
    name = source[0].upper() + source[1:]
    url = parsed(value if not isinstance(value, str) or "://" in value else f"http://{value}")
    if url is not None and url.scheme in ("socks", "socks4", "socks4a"):
        return f"{name} names a {url.scheme} proxy, which httpx does not know: write socks5://HOST:PORT."
    if url is None or not is_bare(url, str(value)) or not has_address(url):
        return f"{name} is not the address of a proxy: it must be like http://HOST:PORT, special signs as %2F."
    if url.scheme.startswith("socks"):
        from importlib.util import find_spec  # few use a SOCKS proxy

        if find_spec("socksio") is None:
            return f"{name} names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]'."
    return Proxy(source, url)


def parsed(url: object) -> httpx.URL | None:
    """Read a URL. None: the text is no URL, or no resolver would take the host."""
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else None
        if parsed is not None:
            parsed.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return None
    return parsed


def has_address(url: httpx.URL) -> bool:
    """Whether host and port can be."""
    port = url.port is None or 0 < url.port < 65536
    return port and bool(re.fullmatch(r"[\w.:-]+", url.raw_host.decode("ascii")))


def is_bare(proxy: httpx.URL, text: str) -> bool:
    """Whether a URL is scheme, login, host and port alone. In http://user:12345?x@host a password looks like a port."""
    known = proxy.scheme in ("http", "https", "socks5", "socks5h")
    return known and proxy.path in ("", "/") and not re.search("[?#]", text)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: an address of the loopback, or localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
