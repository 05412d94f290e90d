"""The commands, each on the public API. The command's result alone goes to standard output."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from listenkey import ListenKeyClient, ListenKeyKeeper
from listenkey.cli._api_key import api_key
from listenkey.cli._exits import Stop, in_our_words, missing
from listenkey.cli._lines import live
from listenkey.cli._output import wait_for_reader
from listenkey.cli._screen import is_terminal
from listenkey.client import BASE_URL, DEMO, LIFE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from listenkey import ListenKey
    from listenkey.cli._screen import Screen
    from listenkey.sandbox import Sandbox


def run(args: argparse.Namespace, screen: Screen) -> int:
    """Run the command that the command line names. Returns the exit status."""
    commands = {"start": _start, "keepalive": _keepalive, "delete": _delete}
    commands |= {"keep": _keep, "events": _events, "check": _check, "sandbox": _sandbox}
    return commands[args.command](args, screen)


@contextlib.contextmanager
def _client(args: argparse.Namespace, screen: Screen, level: int = logging.WARNING) -> Iterator[ListenKeyClient]:
    """Make the client. The live line tells how long the client has been waiting."""
    key, began = api_key(screen), time.monotonic()
    base_url = base_url_of(args)
    settings = {"timeout": args.timeout, "attempts": args.attempts, "plain_http_host": args.plain_http}
    with ListenKeyClient(key, base_url=base_url, **settings) as client:
        _log(logging.DEBUG if args.verbose else level)
        screen.show(lambda: f"○ waiting for {base_url} · {time.monotonic() - began:.0f} s", after=1.0)
        yield client


def base_url_of(args: argparse.Namespace) -> str:
    return args.base_url or (DEMO if args.demo else os.environ.get("LISTENKEY_BASE_URL")) or BASE_URL


def _log(level: int) -> None:
    logging.getLogger("listenkey").setLevel(level)
    logging.getLogger("httpx").setLevel(logging.INFO if level == logging.DEBUG else logging.WARNING)


def _print(args: argparse.Namespace, text: str, found: dict[str, object]) -> None:
    print(json.dumps(found) if args.json else text, flush=True)


def _print_key(args: argparse.Namespace, key: ListenKey) -> None:
    found = {"listenKey": key.value, "expiresAt": key.expires_at.isoformat(), "estimated": key.estimated}
    _print(args, key.value, found)


def _start(args: argparse.Namespace, screen: Screen) -> int:
    with _client(args, screen) as client:
        key = client.start()
    screen.end_line()
    _print_key(args, key)
    return 0


def _keepalive(args: argparse.Namespace, screen: Screen) -> int:
    with _client(args, screen) as client:
        expires_at = datetime.now(UTC) + LIFE
        client.keepalive()
    screen.end_line()
    _print(args, "valid for another 60 minutes", {"expiresAt": expires_at.isoformat(), "estimated": True})
    return 0


def _delete(args: argparse.Namespace, screen: Screen) -> int:
    if not args.yes:
        if is_terminal(sys.stdin):
            if not screen.agrees("This ends the listen key for every program on the account. End it?"):
                raise Stop(1, "nothing was ended.")
        elif not os.environ.get("BINANCE_API_KEY"):
            raise Stop(2, "the API key comes from standard input, so there is no one to ask: add --yes.")
    with _client(args, screen) as client:
        ended = client.delete()
    screen.end_line()
    _print(args, "ended" if ended else "there was no listen key", {"ended": ended})
    return 0


def _keep(args: argparse.Namespace, screen: Screen) -> int:
    is_told = args.program or screen.is_terminal  # by the program, or by the live line
    with (
        _client(args, screen, logging.WARNING if is_told else logging.INFO) as client,
        ListenKeyKeeper(client) as keeper,
    ):
        if args.program:
            from listenkey.cli._supervisor import supervise

            screen.end_line()  # the terminal is the program's
            return supervise(keeper, args.program, screen)
        shown = ""
        while True:
            if (key := keeper.key).value != shown:
                with screen.cleared():
                    _print_key(args, key)
                shown = key.value
                screen.show(lambda: live(keeper.status(), datetime.now().astimezone()))
            wait_for_reader(1.0)


@contextlib.contextmanager
def _needing_stream(command: str) -> Iterator[None]:
    """Name the extra that is missing, if it is."""
    try:
        yield
    except ImportError as error:
        if error.name is None or not error.name.startswith("websockets"):
            raise
        raise missing(f"`listenkey {command}`", "stream") from None


def _check(args: argparse.Namespace, screen: Screen) -> int:
    with _needing_stream("check"):
        from listenkey.cli import _check as check
    return check.run(args, screen, _client(args, screen))


def _events(args: argparse.Namespace, screen: Screen) -> int:
    with _needing_stream("events"):
        from listenkey.cli import _events as events
    with _client(args, screen) as client:
        return events.run(args, screen, client)


def _sandbox(args: argparse.Namespace, screen: Screen) -> int:
    _log(logging.DEBUG if args.verbose else logging.WARNING)
    with contextlib.ExitStack() as stack:
        try:
            if args.play is not None:
                Path(args.play).stat()  # a file that is not there, before anybody is told where the sandbox is
            sandbox = stack.enter_context(_sandbox_of(args))
        except (OSError, TypeError, ValueError) as error:
            raise _refusal(error) from error
        screen.say(f"sandbox on {sandbox.url}, until Ctrl-C; for the other commands:")
        screen.settle()
        _print(args, f"export LISTENKEY_BASE_URL={sandbox.url}", {"url": sandbox.url})
        screen.show(lambda: f"● {sandbox.url} · {len(sandbox.requests)} requests · Ctrl-C ends", after=1.0)
        if args.play is not None:
            try:
                sent = sandbox.play(args.play, speed=args.speed)
            except (OSError, ValueError) as error:
                raise _refusal(error) from error
            screen.say(f"{args.play} has ended: {sent} events were sent")
        while True:  # a sleep can be interrupted; a lock's wait cannot, on Windows before Python 3.14
            time.sleep(3600)


def _refusal(error: Exception) -> Stop:
    """Say why the sandbox does not do what the command line asks for."""
    if isinstance(error, OSError) and error.strerror:
        return Stop(2, f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
    return Stop(2, in_our_words(str(error)))


def _sandbox_of(args: argparse.Namespace) -> Sandbox:
    from listenkey.sandbox import Sandbox

    limit, expiration = args.limit or None, not args.no_expiration
    sandbox = Sandbox(life=args.life, limit=limit, expiration=expiration, host=args.host, port=args.port)
    for fault in args.fault:
        name, _, given = fault.partition(" ")
        sandbox.faults.add(name, **_options_of(name, given))
    return sandbox


def _options_of(fault: str, given: str) -> dict[str, Any]:
    """Read the options of a fault. Raises ValueError or TypeError: they are no JSON object."""
    try:
        options = json.loads(given or "{}")
    except (RecursionError, ValueError) as error:
        raise ValueError(f"The options of fault {fault} are not JSON: {error}.") from None
    if not isinstance(options, dict):
        raise TypeError(f"The options of fault {fault} must be a JSON object.")
    return options
