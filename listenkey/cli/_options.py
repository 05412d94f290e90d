"""The command line's options. The parser names a command; `_commands` runs the command."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING

from listenkey._version import __version__
from listenkey.cli._exits import STATUSES, Stop, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

API_KEY = """\
The API key comes from BINANCE_API_KEY; else from a hidden prompt on a
terminal; else from the first line of standard input. It is never an argument,
which every user of the machine could read."""
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
CHECK = """\
The check goes step by step: settings, connection, TLS, answer, clock, API key,
listen key, keepalive, the stream by each form of its URL, two connections at
once, closing. It prints a line for each step, without a secret: paste it into
an issue. "note" is neither success nor failure: a quiet account brings no
event. So place and cancel an order while the check waits.

It makes the listen key, or renews the live key. On a terminal it asks whether
to end a key that it made; it never ends another key."""
SANDBOX = "Any API key in visible ASCII is an account of its own."
EVENTS = """\
On a terminal an event is a short line for people; --json, and a pipe, give JSON.
The command goes on through losses, restarts and bans. It ends by Ctrl-C, by
--limit or --duration, or when only a person can mend what is wrong. While no
event can come, standard error says so."""
TYPES = ("AccountUpdate", "BalancePositionUpdate", "GreekUpdate", "OrderTradeUpdate", "RiskLevelChange", "UnknownEvent")
SHELLS = ("bash", "zsh", "tcsh")


def hold_closed_descriptors() -> None:
    """Take the places of closed standard files, which the next files to be opened would take."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(spare, True)
    os.close(spare)


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Raises Stop: there is nothing to run, or a mistake."""
    reader = parser()
    args = reader.parse_args(argv)
    if args.command is None:
        reader.print_help()
        raise Stop(2, "")
    if "--" in argv and getattr(args, "program", None) == []:  # an empty variable, perhaps: keep would show the key
        reader.error("no program follows --")
    return args


def stream_url_of(args: argparse.Namespace) -> str | None:
    """Say where the stream is. None: the base URL tells."""
    url: str | None = args.stream_url or (None if args.demo else os.environ.get("LISTENKEY_STREAM_URL"))
    return url


class _Parser(argparse.ArgumentParser):
    """Writes and ends as commands do. The base class passes over an output that cannot be written."""

    def print_help(self, file: object = None) -> None:  # to standard output, always
        print(self.format_help(), end="")

    def error(self, message: str) -> NoReturn:
        raise Stop(2, f"{self.format_usage()}{self.prog}: error: {message}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Stop(status, message or "")


class _Version(argparse.Action):
    """Prints the version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"listenkey {__version__}")
        parser.exit()


class _Completion(argparse.Action):
    """Prints a completion script. The package that writes the script is loaded when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: object, option: str | None = None) -> None:
        try:
            import shtab
        except ImportError:
            raise missing(str(option), "completion") from None
        print(shtab.complete(parser, shell=str(shell)))
        parser.exit()


def _add_common(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the options that every command has. They may stand before the command, too."""
    parser.add_argument("--json", action="store_true", default=default, help="print JSON, one object a line")
    what = "log each request and each wait"
    parser.add_argument("-v", "--verbose", action="store_true", default=default, help=what)


def _add_events(events: argparse.ArgumentParser) -> None:
    what = "how a connection names its key: path, query, subscribe; auto: whichever brings an event first (path)"
    events.add_argument("--form", default="path", choices=("path", "query", "subscribe", "auto"), help=what)
    events.add_argument("--raw", action="store_true", help="print events as they came, for `listenkey sandbox --play`")
    what = "print events of this type and gaps alone, such as OrderTradeUpdate; may be repeated"
    events.add_argument("--type", action="append", type=_event, metavar="TYPE", help=what)
    events.add_argument("--limit", type=_limit, metavar="N", help="end after so many events; gaps do not count")
    events.add_argument("--duration", type=_duration, metavar="S", help="end after so many seconds")
    what = "append to this file, which is opened anew after SIGHUP, as logrotate asks for"
    events.add_argument("--output", type=_given, metavar="FILE", help=what)


def _event(text: str) -> str:
    """Read the name of a class or of the wire: OrderTradeUpdate, ORDER_TRADE_UPDATE."""
    for name in TYPES:
        if text.replace("_", "").lower() == name.lower():
            return name
    raise argparse.ArgumentTypeError(f"{text!r} is none of: {', '.join(TYPES)}")


def _given(text: str) -> str:
    """Refuse an empty text. A variable that is not set must not mean the default: the real exchange, for example."""
    if not text:
        raise argparse.ArgumentTypeError("the text is empty")
    return text


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _duration(text: str) -> float:
    return _above_0(text, " of seconds")


def _above_0(text: str, of: str = "") -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number{of} above 0")
    return number


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    formats = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="listenkey",
        description="Binance European Options' user data stream: the account's listen key.",
        epilog=STATUSES,
        formatter_class=formats,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    what = "print a completion script for this shell; needs the extra `completion`"
    parser.add_argument("--print-completion", action=_Completion, choices=SHELLS, help=what)
    _add_common(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(name: str, what: str, example: str, about: str = API_KEY) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"{about}\n\nexample:\n  {example}\n\nexit statuses: listenkey --help",
            formatter_class=formats,
        )
        _add_common(command, default=argparse.SUPPRESS)  # or what stands before the command would be forgotten
        return command

    start = add("start", "print a listen key, valid for 60 minutes", 'KEY="$(listenkey start)"')
    keepalive = add("keepalive", "put the listen key back to 60 minutes", "listenkey keepalive")
    delete = add("delete", "end the listen key, for every program on the account", "listenkey delete --yes")
    delete.add_argument("--yes", action="store_true", help="do not ask first")
    what = "keep a listen key alive until Ctrl-C"
    keep = add("keep", what, "listenkey keep -- python bot.py", f"{API_KEY}\n\n{KEEP}")
    what = "run this program with the key, and restart it with the next"
    keep.add_argument("program", nargs="*", metavar="-- PROGRAM ARG", help=what)
    what = "print the account's events and gaps, one line each, until Ctrl-C"
    events = add("events", what, "listenkey events | jq .order.status", f"{API_KEY}\n\n{EVENTS}")
    _add_events(events)
    what = "go the whole way to the account's events, and say what each step found"
    check = add("check", what, "listenkey check --wait 60", f"{API_KEY}\n\n{CHECK}")
    check.add_argument("--wait", type=float, default=30.0, metavar="S", help="seconds to wait for the first event (30)")
    check.add_argument("--yes", action="store_true", help="end a key that the check made, without asking")
    for command in (events, check):
        what = "where the stream is (default: LISTENKEY_STREAM_URL, else known from the base URL)"
        command.add_argument("--stream-url", type=_given, metavar="URL", help=what)
    for command in (start, keepalive, delete, keep, events, check):
        where = command.add_mutually_exclusive_group()
        what = "where the exchange is (default: LISTENKEY_BASE_URL, else Binance)"
        where.add_argument("--base-url", type=_given, metavar="URL", help=what)
        where.add_argument("--demo", action="store_true", help="Binance's demo trading, which has API keys of its own")
        what = "accept plain http to this host, such as a sandbox in the next container"
        command.add_argument("--plain-http", type=_given, metavar="HOST", help=what)
        command.add_argument(
            "--timeout", type=float, default=10.0, metavar="S", help="seconds an attempt may take (10)"
        )
        command.add_argument("--attempts", type=int, default=3, metavar="N", help="how often a call is tried (3)")

    example = "listenkey sandbox --port 8080 --life 60 --fault silent \\\n    --fault 'status {\"status\": 503}'"
    sandbox = add("sandbox", "run a stand-in for the exchange on this machine", example, SANDBOX)
    what = "where to listen (127.0.0.1); elsewhere everyone in reach may use and steer it"
    sandbox.add_argument("--host", type=_given, default="127.0.0.1", help=what)
    sandbox.add_argument("--port", type=int, default=0, help="(any free one)")
    sandbox.add_argument("--life", type=float, default=3600.0, metavar="S", help="seconds a key lives (3600)")
    what = "weight a minute (2400; 0: no limit)"
    sandbox.add_argument("--limit", type=int, default=2400, metavar="N", help=what)
    what = "leave `expiration` out, as the Chinese page does"
    sandbox.add_argument("--no-expiration", action="store_true", help=what)
    what = "misbehave once: a fault's name, then its options as JSON"
    sandbox.add_argument("--fault", action="append", default=[], metavar="FAULT", help=what)
    what = "send what `listenkey events --raw` wrote, as soon as a stream is connected"
    sandbox.add_argument("--play", type=_given, metavar="FILE", help=what)
    what = "seconds of the file that pass in a second (1)"
    sandbox.add_argument("--speed", type=_above_0, default=1.0, metavar="X", help=what)
    return parser
