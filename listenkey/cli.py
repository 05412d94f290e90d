"""The command line, on the public API. The only place that prints or reads the environment for keys and addresses."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import errno
import getpass
import json
import logging
import os
import select
import signal
import stat
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

from listenkey import (
    ConfigurationError,
    KeyNotFound,
    LeaseLost,
    ListenKey,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    RateLimited,
    Unauthorized,
)
from listenkey._screen import Screen, discard, fit, is_terminal, say
from listenkey._supervisor import supervise
from listenkey.client import BASE_URL, LIFE
from listenkey.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from listenkey import KeeperStatus

__all__ = ["main"]

API_KEY = """\
The API key comes from BINANCE_API_KEY; else from a hidden prompt on a
terminal; else from the first line of standard input. It is never an argument,
which every user of the machine could read."""
STATUSES = """\
exit statuses:
  0    done
  1    you answered no
  2    usage, or a setting that cannot work
  3    the API key is not accepted
  4    there is no listen key
  5    too many requests
  6    any other answer, or none; output that cannot be written
  7    the listen key could not be kept alive
  130  Ctrl-C; 143 SIGTERM"""
KEEP = """\
Without a program, each key is a line on standard output: the first key, then
replacements. On a terminal a live line on standard error tells the state.

A program finds its key in LISTENKEY, and no BINANCE_API_KEY. Standard input
is the program's. When the key is replaced, the program gets SIGTERM, after 10
seconds SIGKILL, and is started anew. Its exit status is passed on (128 and the
signal's number, when a signal ended it).

Ctrl-C leaves the program 10 seconds for its own end before that SIGTERM.
SIGTERM and SIGHUP do not; further signals change nothing. Whatever else ends
this command, the program gets SIGTERM. Signals reach the program alone, not
programs that it has started: a shell wrapper should `exec` its last command."""
SANDBOX = "Any API key in visible ASCII is an account of its own."
PR_SET_DUMPABLE = 4
LONGEST_LINE = 10_000  # bytes; an API key has 64


class _Stop(Exception):
    """End with this exit status, after this line on standard error."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command, then exit with its status (see STATUSES). `argv` None means the program's own arguments."""
    parser = _parser()
    args = parser.parse_args(argv)
    given = sys.argv[1:] if argv is None else argv
    if "--" in given and getattr(args, "program", None) == []:  # an empty variable, perhaps: keep would show the key
        parser.error("no program follows --")
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # was closed, and our files must not take the place
        os.set_inheritable(spare, True)
    os.close(spare)
    if sys.stdout is None:
        _end(2, "standard output is closed.")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # or a container's first process goes on
    try:
        if args.command:
            args.command(args)
        else:
            parser.print_help()
        sys.stdout.flush()
    except _Stop as stop:
        _end(stop.status, str(stop))
    except ListenKeyError as error:
        _end(_status(error), str(error))
    except OSError as error:  # the reader of a pipe left early, a disk is full
        discard(sys.stdout)
        _end(6, f"input or output failed: {error.strerror}.")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if args.command else 2)


def _end(status: int, line: str) -> NoReturn:
    say(f"listenkey: {line}")
    sys.exit(status)


def _status(error: ListenKeyError) -> int:
    statuses = {ConfigurationError: 2, Unauthorized: 3, KeyNotFound: 4, RateLimited: 5, LeaseLost: 7}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 6)


def _parser() -> argparse.ArgumentParser:
    formats = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="listenkey",
        description="Binance European Options' user data stream: the account's listen key.",
        epilog=STATUSES,
        formatter_class=formats,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('binance-options-listenkey')}")
    with contextlib.suppress(ImportError):  # the extra `completion`
        import shtab

        shtab.add_argument_to(parser, help="print a completion script for this shell")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, run: object, what: str, example: str, about: str = API_KEY) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"{about}\n\nexample:\n  {example}\n\nexit statuses: listenkey --help",
            formatter_class=formats,
        )
        command.set_defaults(command=run)
        command.add_argument("--json", action="store_true", help="print JSON, one object a line")
        command.add_argument("-v", "--verbose", action="store_true", help="log each request and each wait")
        return command

    start = add("start", _start, "print a listen key, valid for 60 minutes", 'KEY="$(listenkey start)"')
    keepalive = add("keepalive", _keepalive, "put the listen key back to 60 minutes", "listenkey keepalive")
    delete = add("delete", _delete, "end the listen key, for every program on the account", "listenkey delete --yes")
    delete.add_argument("--yes", action="store_true", help="do not ask first")
    what = "keep a listen key alive until Ctrl-C"
    keep = add("keep", _keep, what, "listenkey keep -- python bot.py", f"{API_KEY}\n\n{KEEP}")
    what = "run this program with the key, and restart it with the next"
    keep.add_argument("program", nargs="*", metavar="-- PROGRAM ARG", help=what)
    what = "print the account's events and gaps, one JSON object a line, until Ctrl-C"
    events = add("events", _events, what, "listenkey events | jq .order.status")
    what = "where the stream is (default: LISTENKEY_STREAM_URL, else known from the base URL)"
    events.add_argument("--stream-url", metavar="URL", help=what)
    what = "how a connection names its key: path, query or subscribe (path)"
    events.add_argument("--form", default="path", choices=("path", "query", "subscribe"), help=what)
    for command in (start, keepalive, delete, keep, events):
        what = f"where the exchange is (default: LISTENKEY_BASE_URL, else {BASE_URL})"
        default = os.environ.get("LISTENKEY_BASE_URL") or BASE_URL
        command.add_argument("--base-url", default=default, metavar="URL", help=what)
        what = "accept plain http to this host, such as a sandbox in the next container"
        command.add_argument("--plain-http", metavar="HOST", help=what)
        command.add_argument(
            "--timeout", type=float, default=10.0, metavar="S", help="seconds an attempt may take (10)"
        )
        command.add_argument("--attempts", type=int, default=3, metavar="N", help="how often a call is tried (3)")

    example = "listenkey sandbox --port 8080 --life 60 --fault silent \\\n    --fault 'status {\"status\": 503}'"
    sandbox = add("sandbox", _sandbox, "run a stand-in for the exchange on this machine", example, SANDBOX)
    what = "where to listen (127.0.0.1); elsewhere everyone in reach may use and steer it"
    sandbox.add_argument("--host", default="127.0.0.1", help=what)
    sandbox.add_argument("--port", type=int, default=0, help="(any free one)")
    sandbox.add_argument("--life", type=float, default=3600.0, metavar="S", help="seconds a key lives (3600)")
    what = "weight a minute (2400; 0: no limit)"
    sandbox.add_argument("--limit", type=int, default=2400, metavar="N", help=what)
    what = "leave `expiration` out, as the Chinese page does"
    sandbox.add_argument("--no-expiration", action="store_true", help=what)
    what = "misbehave once: a fault's name, then its options as JSON"
    sandbox.add_argument("--fault", action="append", default=[], metavar="FAULT", help=what)
    return parser


@contextlib.contextmanager
def _client(args: argparse.Namespace, level: int = logging.WARNING) -> Iterator[tuple[ListenKeyClient, Screen]]:
    """Make the client, with a screen that tells how long the client has been waiting."""
    api_key, began = _api_key(), time.monotonic()
    settings = {name: getattr(args, name) for name in ("base_url", "timeout", "attempts")}
    waiting = Screen(lambda: f"○ waiting for {args.base_url} · {time.monotonic() - began:.0f} s")
    with ListenKeyClient(api_key, **settings, plain_http_host=args.plain_http) as client, waiting as screen:
        _log(screen, logging.DEBUG if args.verbose else level)
        yield client, screen


def _log(screen: Screen, level: int) -> None:
    screen.addFilter(lambda record: record.levelno < logging.ERROR)  # LeaseLost is the command's last line anyway
    logging.getLogger("listenkey").setLevel(level)
    logging.getLogger("httpx").setLevel(logging.INFO if level == logging.DEBUG else logging.WARNING)


def _api_key() -> str:
    if key := _taken_from_environment("BINANCE_API_KEY"):
        return key
    with contextlib.suppress(EOFError, UnicodeDecodeError):
        if is_terminal(sys.stdin):
            key = _asked(lambda: getpass.getpass("API key: "))
        elif sys.stdin is not None:  # None: standard input was closed
            key = _first_line(sys.stdin.fileno())
    if not key:
        raise _Stop(2, "no API key: set BINANCE_API_KEY, or give it on standard input, as text.")
    return key


def _asked(ask: Callable[[], str]) -> str:
    """Ask on a terminal, and end the prompt's line after any answer."""
    try:
        return ask()
    except (KeyboardInterrupt, EOFError):
        say("")
        raise


def _taken_from_environment(name: str) -> str | None:
    """Read a secret variable and wipe the secret out of this process, which the program may look into.

    On Linux `/proc/PID/environ` shows the memory that the variables were put into at the start, whatever became of
    them; `/proc/PID/mem`, a debugger or a core dump show the whole process. The second is closed to all but root.
    """
    value = os.environ.get(name)
    if value and os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        while address := libc.getenv(name.encode()):  # a variable may be there more than once
            entry = address - len(name) - 1
            ctypes.memset(entry, 0, len(ctypes.string_at(entry)))
        with contextlib.suppress(AttributeError):  # not Linux
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.environ.pop(name, None)
    return value


def _first_line(descriptor: int) -> str:
    """Read no byte further: the rest is the program's."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LONGEST_LINE and (byte := os.read(descriptor, 1)):
        line += byte
    return line.decode().rstrip("\r\n")


def _print(args: argparse.Namespace, text: str, fields: dict[str, object]) -> None:
    print(json.dumps(fields) if args.json else text, flush=True)


def _print_key(args: argparse.Namespace, key: ListenKey) -> None:
    fields = {"listenKey": key.value, "expiresAt": key.expires_at.isoformat(), "estimated": key.estimated}
    _print(args, key.value, fields)


def _start(args: argparse.Namespace) -> None:
    with _client(args) as (client, _):
        key = client.start()
    _print_key(args, key)


def _keepalive(args: argparse.Namespace) -> None:
    with _client(args) as (client, _):
        expires_at = datetime.now(UTC) + LIFE
        client.keepalive()
    _print(args, "valid for another 60 minutes", {"expiresAt": expires_at.isoformat(), "estimated": True})


def _delete(args: argparse.Namespace) -> None:
    if not args.yes:
        if is_terminal(sys.stdin):
            say("This ends the listen key for every program on the account. End it? [y/N] ", end="")
            answer = _asked(sys.stdin.readline)
            if answer.strip().lower() not in ("y", "yes"):
                raise _Stop(1, "nothing was ended.")
        elif not os.environ.get("BINANCE_API_KEY"):
            raise _Stop(2, "the API key comes from standard input, so there is no one to ask: add --yes.")
    with _client(args) as (client, _):
        ended = client.delete()
    _print(args, "ended" if ended else "there was no listen key", {"ended": ended})


def _keep(args: argparse.Namespace) -> None:
    is_live = not args.program and is_terminal(sys.stderr)
    level = logging.WARNING if args.program or is_live else logging.INFO
    with _client(args, level) as (client, screen), ListenKeyKeeper(client) as keeper:
        if args.program:
            screen.end_line()  # the terminal is the program's
            sys.exit(supervise(keeper, args.program))
        screen.text = lambda: _line(keeper.status(), datetime.now().astimezone())
        shown = ""
        while True:
            if (key := keeper.key).value != shown:
                with screen.cleared():
                    _print_key(args, key)
                shown = key.value
            screen.draw()
            _wait(1.0)


def _events(args: argparse.Namespace) -> None:
    try:
        from listenkey.stream import UserDataStream
    except ImportError as error:
        raise _Stop(2, str(error)) from None
    stream_url = args.stream_url or os.environ.get("LISTENKEY_STREAM_URL")
    with _client(args) as (client, screen), UserDataStream(client, stream_url=stream_url, form=args.form) as stream:
        screen.text = lambda: f"● {stream.status().state} · {printed} printed · Ctrl-C ends"
        printed = 0
        while True:
            if (item := stream.next_within(1.0)) is None:
                _wait(0.0)  # has the reader left?
            else:
                with screen.cleared():
                    print(json.dumps(_fields(item), default=_as_json), flush=True)
                printed += 1
            screen.draw()


def _fields(item: Any) -> dict[str, object]:  # noqa: ANN401  any event, or a part of one
    """Return an item by the names of its attributes; the raw mapping only where nothing else was read."""
    kind = type(item).__name__
    fields = {each.name: getattr(item, each.name) for each in dataclasses.fields(item)}
    return {"type": kind} | {name: value for name, value in fields.items() if name != "raw" or kind == "UnknownEvent"}


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return _fields(value) if dataclasses.is_dataclass(value) else str(value)  # an amount stays exact


def _wait(seconds: float) -> None:
    """Wait; if the reader of standard output leaves, fail as writing would: the next key may be far away."""
    poll = getattr(select, "poll", None)
    mode = os.fstat(sys.stdout.fileno()).st_mode
    if poll is None or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        time.sleep(seconds)
    else:
        reader = poll()
        reader.register(sys.stdout, 0)  # 0: its end alone
        if reader.poll(1000 * seconds):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _line(status: KeeperStatus, now: datetime) -> str:
    """Say what a person needs: trouble first, then the next renewal and the end of the key, in clock times."""
    wait, left = (timedelta(seconds=round(seconds or 0)) for seconds in (status.next_renewal, status.time_left))
    clock = "%H:%M" if left > timedelta(minutes=10) else "%H:%M:%S"
    until = f"valid until {now + left:{clock}}"
    when = f"{now + wait:{clock}}, in {wait.seconds // 60}:{wait.seconds % 60:02}"
    if status.last_error is None:
        return f"● alive · renews {when} · {until}"
    trouble = f"■ AT RISK: {status.last_error}" if status.at_risk else f"▲ {status.last_error}"
    return f"{fit(trouble, 32)} · tries {when} · {until}"


def _sandbox(args: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(
            Screen(lambda: f"● {sandbox.url} · {len(sandbox.requests)} requests · Ctrl-C ends")
        )
        _log(screen, logging.DEBUG if args.verbose else logging.WARNING)
        limit, expiration = args.limit or None, not args.no_expiration
        try:
            sandbox = Sandbox(life=args.life, limit=limit, expiration=expiration, host=args.host, port=args.port)
            for fault in args.fault:
                name, _, given = fault.partition(" ")
                options = json.loads(given or "{}")
                if not isinstance(options, dict):
                    raise TypeError(f"The options of fault {name} must be a JSON object.")
                sandbox.faults.add(name, **options)
            stack.enter_context(sandbox)
        except (OSError, RecursionError, TypeError, ValueError) as error:
            raise _Stop(2, str(error)) from error
        with screen.cleared():
            say(f"sandbox on {sandbox.url}, until Ctrl-C; for the other commands:")
            _print(args, f"export LISTENKEY_BASE_URL={sandbox.url}", {"url": sandbox.url})
        while True:  # a sleep can be interrupted; a lock's wait cannot, on Windows before Python 3.14
            time.sleep(3600)
