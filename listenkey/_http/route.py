"""The way to the exchange: address, proxy and certificates, by the caller's wishes and the environment.

All is checked before anything is sent. No error here quotes a value that may hold a password, and no error is raised
where a frame shows that value.
"""

import functools
import os
import re
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from listenkey._http.addresses import AddressSetting, Proxy, is_loopback, read_address, read_proxy
from listenkey._http.masking import Secret
from listenkey.errors import ConfigurationError

LONGEST_TIMEOUT = 86_400.0  # seconds
KEY_LIFE = 3600.0  # seconds (Start User Data Stream page)


class Wishes(NamedTuple):
    """How the caller wants to get to the exchange. The arguments of a client, not checked yet."""

    proxy: Secret | type | None = None
    trust_env: bool = True
    ssl_context: ssl.SSLContext | None = None
    plain_http_host: str | None = None


class Certificates(NamedTuple):
    """The certificates to trust: by the environment's settings, or by the caller's own TLS context.

    Attributes:
        file, folder, key_log: the values of SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE; "" when unset.
        changed: when `file` was last written, in nanoseconds; a new file makes a new context.
        trust_env: whether the environment is asked.
        context: the caller's own context, which goes before the environment.
    """

    file: str = ""
    folder: str = ""
    key_log: str = ""
    changed: int = 0
    trust_env: bool = True
    context: ssl.SSLContext | None = None

    def __str__(self) -> str:
        named = {"SSL_CERT_FILE": self.file, "SSL_CERT_DIR": self.folder, "SSLKEYLOGFILE": self.key_log}
        return ", ".join(f"{name}={value}" for name, value in named.items() if value) or "the package certifi"

    @property
    def advice(self) -> str:
        """What a person can do about a certificate that is not trusted."""
        if self.context is not None:
            return "check the certificates of ssl_context"
        return "check SSL_CERT_FILE, or pass ssl_context" if self.trust_env else "pass ssl_context"


@functools.lru_cache(maxsize=16)
def loaded(certificates: Certificates) -> ssl.SSLContext:
    """Make a TLS context, which takes some 30 ms and 800 KiB: the process makes a context for each setting."""
    file, folder = certificates.file or None, certificates.folder or None
    try:
        if file or folder:
            return ssl.create_default_context(cafile=file, capath=folder)
        return certificates.context or httpx.create_ssl_context(trust_env=False)
    except (OSError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ConfigurationError(f"The certificates cannot be loaded ({why}): check {certificates}.")


class Route(NamedTuple):
    """The way to the exchange. Clients with equal routes share connections."""

    url: str  # of the exchange, as httpx writes it: https, or for a stream wss
    proxy: Proxy | None
    certificates: Certificates

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken; else the exchange is on loopback, or a host that the caller has named."""
        return self.url.startswith(("https:", "wss:"))

    def ssl_context(self) -> ssl.SSLContext | None:
        """Get the TLS context, None without TLS. Raises ConfigurationError: the certificates cannot be loaded."""
        return loaded(self.certificates) if self.is_encrypted else None

    def __str__(self) -> str:
        return f"{self.url} through the proxy {self.proxy}" if self.proxy else self.url


@dataclass(repr=False, eq=False)
class Account:
    """The account's own data. They travel with each call, because accounts share an Exchange.

    Attributes:
        api_key: the API key.
        timeout: seconds that one attempt may take.
    """

    api_key: Secret = field(compare=False)  # pytest prints what may be compared
    timeout: float


def hidden(value: object) -> Secret | type:
    """Hide an argument, before anything raises an error whose frames show that argument."""
    return Secret(value) if isinstance(value, str) else type(value)


def checked_api_key(api_key: Secret | type) -> Secret:
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
    if key_life != KEY_LIFE and route.is_encrypted and not is_loopback(httpx.URL(route.url).host):
        raise ConfigurationError("key_life is for tests: base_url must be a loopback address, such as the sandbox's.")
    return key_life


def route_to(setting: AddressSetting, value: Secret | type, wishes: Wishes) -> Route:
    """Find the way to an address. Raises ConfigurationError for a setting that cannot work.

    Args:
        setting: the setting that names the address.
        value: the value of the setting.
        wishes: how the caller wants to get there.
    """
    own = wishes.ssl_context
    if own is not None and not isinstance(own, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {type(own).__name__}.")
    url = read_address(setting, value, wishes.plain_http_host)
    is_encrypted = url.scheme == setting.encrypted
    proxy = None if wishes.proxy is None else read_proxy("the parameter proxy", wishes.proxy)
    if is_loopback(url.host) or not is_encrypted:  # in clear, the API key goes through no proxy
        proxy = proxy if isinstance(proxy, str) else None
    elif proxy is None and wishes.trust_env:
        proxy = proxy_of_environment(url)
    if isinstance(proxy, str):
        raise ConfigurationError(proxy)
    # In clear, nobody asks for certificates. The caller's own are kept, for a stream by TLS beside calls in clear.
    certificates = Certificates(context=own)
    if is_encrypted and own is None:
        certificates = certificates_of_environment(wishes.trust_env)
    return Route(str(url), proxy, certificates)


def proxy_of_environment(url: httpx.URL) -> Proxy | str | None:
    """Find the environment's proxy for a URL; a text: the fault of that proxy. None: there is no proxy."""
    proxies = urllib.request.getproxies()
    name = "https" if proxies.get("https") else "all"
    value = proxies.get(name)
    # urllib passes over unreadable entries of NO_PROXY, for example the network of a container.
    if not value or urllib.request.proxy_bypass(url.netloc.decode("ascii")):
        return None
    return read_proxy(f"{name.upper()}_PROXY", value)


def certificates_of_environment(trust_env: bool) -> Certificates:
    """Read the environment's settings, and find faults that the loading of certificates would pass over in silence."""
    file, folder = (os.environ.get(name, "") if trust_env else "" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    key_log = os.environ.get("SSLKEYLOGFILE", "")  # Python itself reads this variable
    if file and not Path(file).is_file():
        raise ConfigurationError(f"SSL_CERT_FILE names {file!r}, and there is no such file.")
    if folder and not file and not any(map(has_certificates, folder.split(os.pathsep))):
        raise ConfigurationError(f"SSL_CERT_DIR names {folder!r}, and no certificate is there: see `openssl rehash`.")
    if key_log and not os.access(Path(key_log).parent, os.W_OK):
        raise ConfigurationError(f"SSLKEYLOGFILE names {key_log!r}, which cannot be written.")
    return Certificates(file, "" if file else folder, key_log, Path(file).stat().st_mtime_ns if file else 0, trust_env)


def has_certificates(folder: str) -> bool:
    """Whether OpenSSL finds a certificate in a folder: OpenSSL looks for files that are named by a hash."""
    return Path(folder).is_dir() and any(
        re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for file in Path(folder).iterdir()
    )
