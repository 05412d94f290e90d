"""Where a client connects, and how: base URL, proxy and certificates, checked before anything is sent.

No error here quotes a value that may hold a password. No error is raised where a frame shows that value.
"""

import base64
import functools
import ipaddress
import os
import re
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from listenkey._http.answer import Secret
from listenkey.errors import ConfigurationError

LONGEST_TIMEOUT = 86_400.0  # seconds
KEY_LIFE = 3600.0  # seconds (Start User Data Stream page)


class Proxy(NamedTuple):  # of the kinds of classes, Python makes this kind fastest: an import must not take long
    """A proxy of the environment.

    Attributes:
        variable: the environment variable that names the proxy.
        url: the proxy's address, with user and password if the proxy has a login.
    """

    variable: str
    url: httpx.URL

    def secrets(self) -> list[str]:
        """List how texts of others may write the login: as in the variable, as meant, as logged, as a header."""
        if not self.url.password:
            return []
        password = self.url.password.encode()
        header = base64.b64encode(self.url.username.encode() + b":" + password).decode()
        _, _, written = self.url.userinfo.decode("ascii").partition(":")
        return [written, self.url.password, repr(password)[2:-1], header]

    def __str__(self) -> str:
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"

    def __repr__(self) -> str:
        return f"Proxy({self.variable!r})"


class Certificates(NamedTuple):
    """The certificates to trust: by the environment's settings, or by the caller's own TLS context.

    Attributes:
        file, folder, key_log: the values of SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE; "" when unset.
        changed: when `file` was last written, in nanoseconds; a new file makes a new context.
        context: the caller's own context, which goes before the environment.
    """

    file: str = ""
    folder: str = ""
    key_log: str = ""
    changed: int = 0
    context: ssl.SSLContext | None = None

    def __str__(self) -> str:
        named = {"SSL_CERT_FILE": self.file, "SSL_CERT_DIR": self.folder, "SSLKEYLOGFILE": self.key_log}
        return ", ".join(f"{name}={value}" for name, value in named.items() if value) or "the package certifi"


@functools.lru_cache(maxsize=16)
def _loaded(certificates: Certificates) -> ssl.SSLContext:
    """Make a TLS context, which takes some 30 ms and 800 KiB: the process makes a context for each setting."""
    try:
        return certificates.context or httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ConfigurationError(f"The certificates cannot be loaded ({why}): check {certificates}.")


class Route(NamedTuple):
    """The way to the exchange. Clients with equal routes share connections."""

    base_url: str
    proxy: Proxy | None
    certificates: Certificates

    @property
    def proxy_scheme(self) -> str:
        """The proxy's scheme; "" without a proxy."""
        return self.proxy.url.scheme if self.proxy else ""

    @property
    def is_https(self) -> bool:
        """Whether TLS is spoken; else the exchange is on loopback."""
        return self.base_url.startswith("https:")

    def ssl_context(self) -> ssl.SSLContext | None:
        """Get the TLS context, None for plain http. Raises ConfigurationError: the certificates cannot be loaded."""
        return _loaded(self.certificates) if self.is_https else None

    def __str__(self) -> str:
        return f"{self.base_url} through the proxy {self.proxy}" if self.proxy else self.base_url


@dataclass(repr=False, eq=False)
class Account:
    """The account's own data. They travel with each call, because accounts share an Exchange.

    Attributes:
        api_key: the API key.
        timeout: seconds that one attempt may take.
    """

    api_key: Secret = field(compare=False)  # pytest prints what may be compared
    timeout: float


def hidden(value: object) -> "Secret | type":
    """Hide an argument, before anything raises an error whose frames show that argument."""
    return Secret(value) if isinstance(value, str) else type(value)


def checked_api_key(api_key: "Secret | type") -> Secret:
    """Refuse a text that cannot be an API key, or could not be masked for sure where a repr quotes the text."""
    if api_key is type(None) or (isinstance(api_key, Secret) and not api_key.strip()):
        raise ConfigurationError("api_key is empty: pass the API key of your Binance account.")
    if isinstance(api_key, type):
        raise ConfigurationError(f"api_key must be a str, not {api_key.__name__}.")
    if not re.fullmatch(r"[!#-&(-\[\]-~]+", api_key):
        raise ConfigurationError(
            "api_key has a space, a line break, a quote, a backslash or a character outside ASCII: pass it alone, as "
            "Binance shows it."
        )
    return api_key


def checked_timeout(timeout: float) -> float:
    """Refuse a value that is no time to wait."""
    if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
        raise ConfigurationError("timeout must be a number of seconds, above 0 and at most a day.")
    return timeout


def checked_key_life(key_life: float, route: Route) -> float:
    """Refuse a value that is no life of a key, and a test's life where a real exchange may be."""
    if not isinstance(key_life, int | float) or not 0 < key_life <= KEY_LIFE:
        raise ConfigurationError(f"key_life must be a number of seconds, above 0 and at most {KEY_LIFE:g}.")
    host = httpx.URL(route.base_url).host
    if key_life != KEY_LIFE and route.is_https and not is_loopback(host):
        raise ConfigurationError("key_life is for tests: base_url must be a loopback address, such as the sandbox's.")
    return key_life


def route_to(
    base_url: "Secret | type", ssl_context: ssl.SSLContext | None, plain_http_host: str | None = None
) -> Route:
    """Check base URL, proxy and certificates. Raises ConfigurationError for a setting that cannot work."""
    if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {type(ssl_context).__name__}.")
    url = _parsed(base_url)
    if url is None:
        raise ConfigurationError("base_url is not a URL: it must be like https://eapi.binance.com.")
    if url.userinfo or "@" in str(base_url):  # a password may end what passes for the host
        raise ConfigurationError("base_url must not carry a user or a password.")
    if not _has_address(url) or re.search("[?#]", str(base_url)):
        raise ConfigurationError("base_url must be a scheme, a host and at most a port and a path.")
    named = isinstance(plain_http_host, str) and url.host == plain_http_host.lower()
    if url.scheme != "https" and not (url.scheme == "http" and (named or is_loopback(url.host))):
        raise ConfigurationError(
            "base_url must start with https: plain http is for loopback addresses, and for the host that "
            "plain_http_host names."
        )
    is_direct = is_loopback(url.host) or url.scheme == "http"  # in clear, the API key goes through no proxy
    proxy = None if is_direct else _proxy_to(url)
    if isinstance(proxy, str):
        raise ConfigurationError(proxy)
    # In clear, nobody asks for certificates. The caller's own are kept, for a stream by TLS beside calls in clear.
    own = Certificates(context=ssl_context)
    return Route(str(url), proxy, _certificates(ssl_context) if url.scheme == "https" else own)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: an address of the loopback, or localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parsed(url: object) -> httpx.URL | None:
    """Read a URL. None: the text is no URL, or no resolver would take the host."""
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else None
        if parsed is not None:
            parsed.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return None
    return parsed


def _has_address(url: httpx.URL) -> bool:
    """Whether host and port can be."""
    port = url.port is None or 0 < url.port < 65536
    return port and bool(re.fullmatch(r"[\w.:-]+", url.raw_host.decode("ascii")))


def _proxy_to(url: httpx.URL) -> Proxy | str | None:
    """Find the environment's proxy for a URL; a text: the fault of that proxy. None: there is no proxy."""
    proxies = urllib.request.getproxies()
    name = "https" if proxies.get("https") else "all"
    value = proxies.get(name)
    # urllib passes over unreadable entries of NO_PROXY, for example the network of a container.
    if not value or urllib.request.proxy_bypass(url.netloc.decode("ascii")):
        return None
    variable = f"{name.upper()}_PROXY"
    proxy = _parsed(value if "://" in value else f"http://{value}")
    if proxy is not None and proxy.scheme in ("socks", "socks4", "socks4a"):
        return f"{variable} names a {proxy.scheme} proxy, which httpx does not know: write socks5://HOST:PORT."
    if proxy is None or not _is_bare(proxy, value) or not _has_address(proxy):
        return f"{variable} is not the address of a proxy: it must be like http://HOST:PORT, special signs as %2F."
    if proxy.scheme.startswith("socks") and not _is_installed("socksio"):
        return f"{variable} names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]'."
    return Proxy(variable, proxy)


def _is_bare(proxy: httpx.URL, text: str) -> bool:
    """Whether a URL is scheme, login, host and port alone. In http://user:12345?x@host a password looks like a port."""
    known = proxy.scheme in ("http", "https", "socks5", "socks5h")
    return known and proxy.path in ("", "/") and not re.search("[?#]", text)


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec  # few use a SOCKS proxy

    return find_spec(package) is not None


def _certificates(ssl_context: ssl.SSLContext | None) -> Certificates:
    """Read the environment's settings, and find faults that the loading of certificates would pass over in silence."""
    if ssl_context is not None:
        return Certificates(context=ssl_context)
    file, folder, key_log = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"))
    if file and not Path(file).is_file():
        raise ConfigurationError(f"SSL_CERT_FILE names {file!r}, and there is no such file.")
    if folder and not file and not any(map(_has_certificates, folder.split(os.pathsep))):
        raise ConfigurationError(f"SSL_CERT_DIR names {folder!r}, and no certificate is there: see `openssl rehash`.")
    if key_log and not os.access(Path(key_log).parent, os.W_OK):
        raise ConfigurationError(f"SSLKEYLOGFILE names {key_log!r}, which cannot be written.")
    return Certificates(file, "" if file else folder, key_log, Path(file).stat().st_mtime_ns if file else 0)


def _has_certificates(folder: str) -> bool:
    """Whether OpenSSL finds a certificate in a folder: OpenSSL looks for files that are named by a hash."""
    return Path(folder).is_dir() and any(
        re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for file in Path(folder).iterdir()
    )
