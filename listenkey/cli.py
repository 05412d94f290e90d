"""The command line. It sits on the public API; the only place that prints or reads the environment."""

import argparse
import contextlib
import ctypes
import errno
import getpass
import json
import logging
import os
import select
import shutil
import signal
import stat
import sys
import threading
import time
from typing import NoReturn, TextIO

from listenkey import (
    ConfigurationError,
    KeeperStatus,
    KeyNotFound,
    LeaseLost,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    RateLimited,
    Unauthorized,
)
from listenkey._supervisor import supervise
from listenkey.client import BASE_URL
from listenkey.sandbox import Sandbox

API_KEY = """The API key comes from BINANCE_API_KEY; else from a hidden prompt on a terminal; else from the first line
of standard input. It is never an argument, which every user of the machine could read."""
STATUSES = """exit status: 0 done, 2 usage or a setting that cannot work, 3 the API key is not accepted, 4 there is no
listen key, 5 too many requests, 6 any other answer or none, 7 the listen key could not be kept alive, 130 stopped by
Ctrl-C."""
KEEP = """Without a program, each key is a line on standard output: the first one, then replacements. A program finds
its key in LISTENKEY, and no BINANCE_API_KEY. When the key is replaced it gets SIGTERM, after 10 seconds SIGKILL, and
is started anew; its exit status is passed on (128 and the signal's number, when a signal ended it). Ctrl-C leaves it 10
seconds for its own end before that SIGTERM; SIGTERM and SIGHUP do not; further signals change nothing. Signals reach
the program alone, not programs that it has started: a shell wrapper should `exec` its last command."""
PR_SET_DUMPABLE = 4
LONGEST_LINE = 10_000  # bytes; an API key has 64
CLEAR = "\r\x1b[K"  # back to the start of the line, and erase it


class _Stop(Exception):
    """End with this exit status, after this line on standard error."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command, then exit with its status (see STATUSES). `argv` None means the program's own arguments."""
    args = _parser().parse_args(argv)
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # was closed, and our files must not take its place
        os.set_inheritable(spare, True)
    os.close(spare)
    if sys.stdout is None:
        _end(2, "standard output is closed.")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # or a container's first process goes on
    try:
        args.command(args)
        sys.stdout.flush()
    except _Stop as stop:
        _end(stop.status, str(stop))
    except ListenKeyError as error:
        _end(_status(error), str(error))
    except OSError as error:  # the reader of a pipe left early, a disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would complain as it ends
        _end(6, f"input or output failed: {error.strerror}.")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _say(text: str, end: str = "\n") -> None:
    """Write to standard error, if it is there: what it would say never decides what the command does."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:  # None: it was closed, and print would take standard output
            print(text, end=end, file=sys.stderr, flush=True)


def _end(status: int, line: str) -> NoReturn:
    _say(f"listenkey: {line}")
    sys.exit(status)


def _status(error: ListenKeyError) -> int:
    statuses = {ConfigurationError: 2, Unauthorized: 3, KeyNotFound: 4, RateLimited: 5, LeaseLost: 7}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 6)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="listenkey",
        description="Binance European Options' user data stream: the account's listen key.",
        epilog=STATUSES,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: object, what: str, example: str, about: str = API_KEY) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"{about}\n\n{STATUSES}\n\nexample:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=run)
        return command

    start = add("start", _start, "print a listen key, valid for 60 minutes", 'KEY="$(listenkey start)"')
    start.add_argument("--json", action="store_true", help="print the key with its expiry, as JSON")
    keepalive = add("keepalive", _keepalive, "put the listen key back to 60 minutes", "listenkey keepalive")
    delete = add("delete", _delete, "end the listen key, for every program on the account", "listenkey delete --yes")
    delete.add_argument("--yes", action="store_true", help="do not ask first")
    keep = add(
        "keep",
        _keep,
        "keep a listen key alive until Ctrl-C",
        "listenkey keep -- python bot.py",
        f"{API_KEY}\n\n{KEEP}",
    )
    keep.add_argument(
        "program", nargs="*", metavar="-- PROGRAM ARG", help="run this program with the key, and restart it"
    )
    for command in (start, keepalive, delete, keep):
        command.add_argument(
            "--base-url",
            default=os.environ.get("LISTENKEY_BASE_URL") or BASE_URL,
            metavar="URL",
            help=f"where the exchange is (default: LISTENKEY_BASE_URL, else {BASE_URL})",
        )

    sandbox = add(
        "sandbox",
        _sandbox,
        "run a stand-in for the exchange on this machine",
        "listenkey sandbox --port 8080 --life 60 --fault silent --fault 'status {\"status\": 503}'",
        "Any API key in visible ASCII is an account of its own.",
    )
    sandbox.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any free port)")
    sandbox.add_argument("--life", type=float, default=3600.0, metavar="S", help="seconds a key lives (default: 3600)")
    sandbox.add_argument(
        "--limit", type=int, default=2400, metavar="N", help="weight a minute (default: 2400; 0: no limit)"
    )
    sandbox.add_argument(
        "--no-expiration", action="store_true", help="leave `expiration` out, as the Chinese page does"
    )
    sandbox.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="misbehave once: a fault's name, then its options as JSON",
    )
    return parser


def _client(args: argparse.Namespace) -> ListenKeyClient:
    return ListenKeyClient(_api_key(), base_url=args.base_url)


def _api_key() -> str:
    if key := _taken_from_environment("BINANCE_API_KEY"):
        return key
    with contextlib.suppress(EOFError, UnicodeDecodeError):
        if _is_terminal(sys.stdin):
            key = getpass.getpass("API key: ")
        elif sys.stdin is not None:  # None: it was closed
            key = _first_line(sys.stdin.fileno())
    if not key:
        raise _Stop(2, "no API key: set BINANCE_API_KEY, or give it on standard input, as text.")
    return key


def _taken_from_environment(name: str) -> str | None:
    """Read a secret variable and wipe it out of this process, of which the program's user sees more than its own.

    On Linux `/proc/PID/environ` shows the memory that the variables were put into at the start, whatever became of
    them; `/proc/PID/mem`, a debugger or a core dump show the whole process. The second is closed to all but root.
    """
    value = os.environ.get(name)
    if value and os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        while address := libc.getenv(name.encode()):  # it may be there more than once
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


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _start(args: argparse.Namespace) -> None:
    with _client(args) as client:
        key = client.start()
    if args.json:
        fields = {"listenKey": key.value, "expiresAt": key.expires_at.isoformat(), "estimated": key.estimated}
        print(json.dumps(fields))
    else:
        print(key.value)


def _keepalive(args: argparse.Namespace) -> None:
    with _client(args) as client:
        client.keepalive()
    print("valid for another 60 minutes")


def _delete(args: argparse.Namespace) -> None:
    if not args.yes:
        if _is_terminal(sys.stdin):
            _say("This ends the listen key for every program on the account. End it? [y/N] ", end="")
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise _Stop(2, "nothing was ended.")
        elif not os.environ.get("BINANCE_API_KEY"):
            raise _Stop(2, "the API key comes from standard input, so there is no one to ask: add --yes.")
    with _client(args) as client:
        print("ended" if client.delete() else "there was no listen key")


def _keep(args: argparse.Namespace) -> None:
    live = not args.program and _is_terminal(sys.stderr)
    if not live:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s listenkey: %(message)s"))
        handler.addFilter(lambda record: record.levelno < logging.ERROR)  # LeaseLost is the command's last line anyway
        log = logging.getLogger("listenkey")
        log.addHandler(handler)
        log.setLevel(logging.WARNING if args.program else logging.INFO)
    with _client(args) as client, ListenKeyKeeper(client) as keeper:
        if args.program:
            sys.exit(supervise(keeper, args.program, _say))
        shown = ""
        try:
            while True:
                if (value := keeper.key.value) != shown:
                    if live:
                        _say(CLEAR, end="")
                    print(value, flush=True)
                    shown = value
                if live:
                    line = _status_line(keeper.status())[: shutil.get_terminal_size().columns - 1]
                    _say(f"{CLEAR}{line}", end="")
                _wait_for_a_second()
        finally:
            if live:
                _say(CLEAR, end="")


def _wait_for_a_second() -> None:
    """Wait; if the reader of standard output leaves, fail as writing would: the next key may be far away."""
    poll = getattr(select, "poll", None)
    mode = os.fstat(sys.stdout.fileno()).st_mode
    if poll is None or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        time.sleep(1)
    else:
        reader = poll()
        reader.register(sys.stdout, 0)  # 0: its end alone
        if reader.poll(1000):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _status_line(status: KeeperStatus) -> str:
    age, wait, left = (
        f"{(seconds or 0) / 60:.1f} min" for seconds in (status.key_age, status.next_renewal, status.time_left)
    )
    counts = f"renewals {status.renewals}, failures {status.failures}, replacements {status.replacements}"
    trouble = f"; {'AT RISK' if status.at_risk else 'last error'}: {status.last_error}" if status.last_error else ""
    return f"key renewed {age} ago, next in {wait}, lost in {left}; {counts}{trouble}"


def _sandbox(args: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        try:
            sandbox = stack.enter_context(
                Sandbox(port=args.port, life=args.life, limit=args.limit or None, expiration=not args.no_expiration)
            )
            for fault in args.fault:
                name, _, given = fault.partition(" ")
                options = json.loads(given or "{}")
                if not isinstance(options, dict):
                    raise TypeError(f"The options of fault {name} must be a JSON object.")
                sandbox.faults.add(name, **options)
        except (OSError, RecursionError, TypeError, ValueError) as error:
            raise _Stop(2, str(error)) from error
        _say(f"sandbox on {sandbox.url}, until Ctrl-C; for the other commands:")
        print(f"export LISTENKEY_BASE_URL={sandbox.url}", flush=True)
        threading.Event().wait()
