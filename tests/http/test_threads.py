"""The threads for blocking work: what a finalizer or a refusal may meet while one is started."""

import threading

import pytest

from listenkey._http.threads import Threads


def test_a_finalizer_in_a_new_thread_may_ask_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Threads()
    asked: list[str] = []

    class WithFinalizer(threading.Thread):
        def _set_ident(self) -> None:  # Python's own first step in the new thread: start() waits until later steps
            super()._set_ident()  # type: ignore[misc]
            pool.have_spare()
            asked.append(self.name)

    monkeypatch.setattr(threading, "Thread", WithFinalizer)
    pool.have_spare()
    assert asked == ["listenkey-blocking"]


def test_a_thread_that_cannot_be_started_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, start = Threads(), threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="can't start"):
            pool.have_spare()
    monkeypatch.setattr(threading.Thread, "start", start)
    before = threading.active_count()
    pool.have_spare()
    pool.have_spare()
    assert threading.active_count() == before + 1
