"""Read what is no endpoint's page: pages of events, by their examples, and general pages, as lines of text."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from docs_check import examples
from docs_check.facts import Reading, answer, language_of, other
from docs_check.page import Block, Page

VALUE = re.compile(r"([A-Z][A-Z0-9_]+)(?![A-Za-z0-9])")  # a line of a list of values begins with one


def bare(value: Any) -> list[dict[str, Any]]:
    """Return the events of an example: bare, in an envelope, or in a list."""
    if isinstance(value, dict):
        return [value] if isinstance(value.get("e"), str) else bare(value.get("data"))
    return [each for item in value for each in bare(item)] if isinstance(value, list) else []


def events(block: Block) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Return the events that a block of code shows; and its comments, with an envelope of another form than usual."""
    try:
        values, comments, _ = examples.read(block.text if block.code else "")
    except ValueError:
        return [], []
    envelopes = [
        examples.shape({**each, "data": None}) for each in values if isinstance(each, dict) and "e" not in each
    ]
    odd = [(0, shape) for shape in envelopes if shape != "{data: null, stream: string}"]
    return bare(values), comments + odd


def readings(page: Page) -> list[Reading]:
    """Read a page: each example of an event as a reading of its own, all else as text, by language."""
    texts, found = dict[str, Reading](), list[Reading]()
    languages = ["", *(language_of([section]) for section in page.sections), ""]
    for section, before, own, after in zip(page.sections, languages, languages[1:], languages[2:], strict=False):
        language = before if before == after == "zh-CN" else own  # such as "URL PATH" within the Chinese half
        name = section.heading or "above the title"
        text = texts.setdefault(language, Reading("", language, section.line))
        text.say(name, Block(section.line, section.heading))
        shown_before = len(found)
        for block in section.blocks:
            shown, comments = events(block)
            for value in shown:
                found.append(Reading(f"event {value['e']}", language, block.line))
                found[-1].add("event", value["e"], block.line)
                answer(found[-1], value, block)
            text.say(name, *(Block(block.line + line, comment) for line, comment in comments if shown))
            if not shown:
                other(text, name, block)
        text.say(name, *[Block(section.line, "examples of events")] * (len(found) > shown_before))
    return [*texts.values(), *found]


def lists(reading: Reading) -> Iterator[tuple[int, set[str]]]:
    """Yield each list of values, such as the states of an order, with its line: one below the other, or in one line."""
    for _, group in groupby(reading.lines, lambda line: (line.section, bool(VALUE.match(line.text)))):
        lines = list(group)
        yield lines[0].line, {match[1] for line in lines if (match := VALUE.match(line.text))}
        yield from ((line.line, set(VALUE.findall(line.text))) for line in lines if "," in line.text)
