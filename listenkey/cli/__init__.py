"""The command `listenkey`: the package for people at a terminal, for shells and for service managers.

Programs enter by `main`. `_options` reads the command line, and `_commands` runs a command. `_events` and `_check` have
the two long commands, `_supervisor` and `_launch` run the program of `keep`, `_api_key` finds the API key. Pure:
`_lines` (the texts of the results). `_exits` says how a command ends, `_output` writes results, `_screen` alone writes
to standard error. The command uses public names of the package alone, and nothing in the package uses the command.

This file loads next to nothing: Ctrl-C is answered before the rest is loaded.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # without `typing`, which takes longer to load than this file
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

__all__ = ["main"]
LONGEST_END = 5  # seconds from Ctrl-C or SIGTERM to the end


def main(argv: "list[str] | None" = None) -> "NoReturn":
    """Run one command, then exit with its status (see `_exits`). `argv` None means the program's own arguments."""
    signals = Signals()
    from listenkey.cli import _exits, _options, _output, _screen

    def run() -> int:
        args = _options.parsed(sys.argv[1:] if argv is None else argv)
        from listenkey.cli import _commands

        with signals:
            return _commands.run(args, screen)

    _options.hold_closed_descriptors()
    _output.take_any_character()
    with _screen.Screen() as screen:
        status = _exits.status_of(run, screen)
    sys.exit(status)


class Signals:
    """What SIGINT and SIGTERM do, unless they were ignored from the start, as by nohup.

    Before and after a command: the process ends at once, because nothing needs tidying. While a command runs, which is
    inside the `with` block: the first signal raises SystemExit, so that the command leaves its blocks. Further signals
    change nothing, because the process ends within `LONGEST_END` seconds anyway, even if a terminal takes no output.
    """

    def __init__(self) -> None:
        self._is_running = self._is_leaving = False
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._answer)

    def __enter__(self) -> None:
        self._is_running = True

    def __exit__(self, *exc: object) -> None:
        self._is_running = False

    def _answer(self, number: int, _: "FrameType | None") -> None:
        if not self._is_running:
            os._exit(128 + number)
        if not self._is_leaving:
            self._is_leaving = True
            sys.unraisablehook = lambda _: os._exit(128 + number)  # a finalizer was interrupted, and the exit is lost
            if sys.platform != "win32":
                signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + number))
                signal.setitimer(signal.ITIMER_REAL, LONGEST_END)
            sys.exit(128 + number)
