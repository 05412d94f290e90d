"""The time limit of a test: a failure with the test's name, wherever the test is by then. A plugin over pytest-timeout.

pytest-timeout raises a failure out of a signal handler, once. If Hypothesis runs the test, Hypothesis takes the failure
for the test's own, and runs the test again, now without a limit. If the test has just ended, the failure meets pytest
at work on its report, and the whole run ends with INTERNALERROR, without a name. A finalizer swallows the failure.

So here the limit holds for each phase of a test: setup, call and teardown. The limit leaves Hypothesis and asyncio at
once, as Ctrl-C does, and becomes a failure after that. If the limit was swallowed, the limit comes again.
"""

import signal
import threading
from collections.abc import Generator
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]

AGAIN = 10.0  # seconds; a test that is being ended may need some of them to close what it has opened
SETTINGS = pytest.StashKey[Any]()


class TimeLimit(KeyboardInterrupt):
    """Passes through whatever catches failures."""


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    if settings.method != "signal" or threading.current_thread() is not threading.main_thread():
        return None  # no signals, as on Windows: pytest-timeout's own way
    item.stash[SETTINGS] = settings
    return True


def limited(item: pytest.Item) -> Generator[None, object, object]:
    if SETTINGS not in item.stash:
        return (yield)
    settings = item.stash[SETTINGS]

    def ring(*_: object) -> None:
        __tracebackhide__ = True
        try:
            pytest_timeout.timeout_sigalrm(item, settings)  # prints the stack of each thread; nothing in a debugger
        except pytest.fail.Exception as failure:
            raise TimeLimit(failure.msg) from None

    try:
        try:
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN)
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeLimit as limit:
        raise pytest.fail.Exception(str(limit)).with_traceback(limit.__traceback__) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))
