"""What may be said of other people's texts: bounded, without a secret. Pure: no clock, no socket, no httpx.

A text of ours may quote a library or a server. Every quoting text goes through `cleaned` or `described`.
"""

import re

from listenkey._http.faults import system_error

LONGEST_TEXT = 200  # characters of somebody else's text
LONGEST_WORD = 16  # characters; an API key of this length or more is part of no word by chance
LISTEN_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{64}(?![0-9A-Za-z])")  # as the pages show it; API keys look alike
# Where a quotation begins. The apostrophe of "can't" begins none; in b't the quotation is of bytes.
QUOTATION = re.compile(r"""["({\[:]|(?<![A-Za-z]{2})'|'(?!(?:d|ll|m|re|s|t|ve)\b)""")


class Secret(str):
    """A string whose repr hides the string: the generated client and crash reporters print reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def cleaned(text: str, api_key: str) -> str:
    """Take control characters, the API key and all that looks like a listen key out of a text, and cut a long text."""
    return masked("".join(filter(str.isprintable, " ".join(text.split()))), api_key)[:LONGEST_TEXT]


def masked(text: str, api_key: str) -> str:
    """Take the API key and all that looks like a listen key out of a text.

    A short API key, made up for a test, is taken out as a whole word: the key "e" is in every text.
    """
    if len(api_key) >= LONGEST_WORD:
        text = text.replace(api_key, "***")
    else:
        text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(api_key)}(?![0-9A-Za-z])", "***", text)
    return LISTEN_KEY.sub("***", text)


def described(error: BaseException, api_key: str) -> str:
    """Give the text of a library's error without quotations: of a malformed answer, a header, a proxy's login."""
    system = system_error(error)
    text = QUOTATION.split(str(error))[0].strip() if system is None else str(system)
    return cleaned(text, api_key) or "no reason given"
