"""Become a program that gets SIGTERM when the command that started the program is gone, even by SIGKILL.

`_supervisor` runs this file as a script, with SIGINT blocked: ``python -I -S _launch.py PIPE PROGRAM ARGUMENT``. Code
between fork and exec could do the same without another Python, but is not safe beside threads. Linux has a parent-death
signal, but sends the signal for each thread of the parent: the second interrupts the program's answer to the first.
"""

import contextlib
import os
import signal
import sys
from typing import NoReturn

assert sys.platform != "win32", "Windows has no fork and no exec: `_supervisor` does not use this file"  # noqa: S101


def launch(pipe: int, program: list[str]) -> NoReturn:
    """Run `program` in place of this process. The command writes to `pipe` when the program has ended."""
    _leave_a_watcher(pipe)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and the program would inherit that
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # a Ctrl-C until now has waited
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        os.execvp(program[0], program)  # noqa: S606  the user's own
    except OSError as error:
        with contextlib.suppress(OSError):  # standard error is full, or the reader is gone
            os.write(2, os.fsencode(f"listenkey: cannot run {program[0]}: {error.strerror}.\n"))
        sys.exit(2)


def _leave_a_watcher(pipe: int) -> None:
    """Leave a process behind that is no child of the program, which may wait for all its children to end."""
    program = os.getpid()
    if child := os.fork():
        os.waitpid(child, 0)
        os.close(pipe)
        return
    if not os.fork():
        os.setsid()  # the terminal's signals are for the program
        os.chdir("/")
        os.dup2(pipe, 0)
        os.closerange(1, pipe + 1)  # or a reader of the program's output would wait for this process, too
        if not os.read(0, 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, signal.SIGTERM)
    os._exit(0)


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2:])
