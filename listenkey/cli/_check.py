"""`listenkey check`: a line for each step, made to be pasted into an issue."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from listenkey.check import STEPS, Finding, check
from listenkey.cli._exits import in_our_words, status_of_error
from listenkey.cli._options import stream_url_of
from listenkey.cli._screen import coloured, columns_of, is_terminal
from listenkey.errors import ConfigurationError, RateLimited

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from listenkey import ListenKeyClient
    from listenkey.cli._screen import Screen

COLOURS = {"ok": "\x1b[32m", "note": "\x1b[33m", "failed": "\x1b[31m", "skipped": "\x1b[2m"}
WRONG_CLOCK, NO_STREAM = 8, 9  # exit statuses; every other step has the status that any command has for its error
BEFORE_THE_STREAM = STEPS.index("keepalive")
NARROW = 60  # columns; in fewer the texts have no room beside the steps
OFFER = "The check made this listen key. By now another program may use it, too. End it?"


def run(args: argparse.Namespace, screen: Screen, client: AbstractContextManager[ListenKeyClient]) -> int:
    """Check, and offer to end a key that the check made. Returns the exit status: of the first step that failed."""
    found = _Found(args, screen)
    try:
        with client as entered:
            for finding in check(entered, stream_url=stream_url_of(args), wait=args.wait):
                found.tell(finding)
            screen.end_line()
            may_end = found.made_key and not found.is_limited
            if may_end and (args.yes or (is_terminal(sys.stdin) and screen.agrees(OFFER))):
                entered.delete()
                screen.say("listenkey: the listen key was ended.")
            elif found.made_key:
                screen.say("listenkey: the listen key that the check made lives on, for an hour at most.")
    except ConfigurationError as error:  # the client cannot be made
        found.tell(Finding("settings", "failed", str(error), error=error))
        for step in STEPS[1:]:
            found.tell(Finding(step, "skipped", "not reached: settings failed"))
    return found.status


class _Found:
    """What was found so far."""

    def __init__(self, args: argparse.Namespace, screen: Screen) -> None:
        self._is_json, self._wait, self._screen = args.json, args.wait, screen
        self.status = 0
        self.made_key = False
        self.is_limited = False  # after a 429 or 418 nothing more is sent

    def tell(self, finding: Finding) -> None:
        """Print a finding."""
        if finding.verdict == "failed" and not self.status:
            self.status = status_of(finding)
        self.made_key = self.made_key or finding.facts.get("new") is True
        self.is_limited = self.is_limited or isinstance(finding.error, RateLimited)
        with self._screen.cleared():
            columns = columns_of(sys.stdout) if is_terminal(sys.stdout) else None
            print(as_json(finding) if self._is_json else as_text(finding, columns), flush=True)
        if finding.step == "keepalive" and finding.verdict == "ok":
            hint = f"○ waiting up to {self._wait:g} s for an event: place and cancel an order now"
            self._screen.show(lambda: hint)


def status_of(finding: Finding) -> int:
    """Return the exit status of a step that failed."""
    if finding.step == "clock":
        return WRONG_CLOCK
    if STEPS.index(finding.step) > BEFORE_THE_STREAM or finding.error is None:
        return NO_STREAM
    return status_of_error(finding.error)


def as_json(finding: Finding) -> str:
    """Write a finding for programs."""
    text = in_our_words(finding.text)
    return json.dumps({"step": finding.step, "verdict": finding.verdict, "text": text, "facts": dict(finding.facts)})


def as_text(finding: Finding, columns: int | None) -> str:
    """Write a finding for people. `columns`: of a terminal, which has colours, too. None: one line without colour."""
    head, text = f"{finding.verdict:8}{finding.step:16}", in_our_words(finding.text)
    if columns is None:
        return head + text
    indent = " " * (len(head) if columns >= NARROW else 4)
    lines = textwrap.wrap(head + text, columns, subsequent_indent=indent, break_long_words=False)
    whole = "\n".join(lines)
    return f"{coloured(whole[:8], COLOURS[finding.verdict])}{whole[8:]}"
