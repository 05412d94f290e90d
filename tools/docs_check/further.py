"""Read what is no endpoint's page: pages of events, by their examples, and general pages, as lines of text."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from docs_check import examples
from docs_check.facts import Reading, answer, other
from docs_check.page import Block, Page, Section

VALUE = re.compile(r"([A-Z][A-Z0-9_]+)(?![A-Za-z0-9])")  # a line of a list of values begins with one


def language_of(section: Section) -> str:
    """Tell the language of a section by its letters."""
    text = section.heading + "".join(block.text for block in section.blocks if not block.code)
    return "zh-CN" if 4 * len(re.findall("[\u3400-\u9fff]", text)) > len(text) else "en"


def event(block: Block) -> tuple[str, Any, list[tuple[int, str]]]:
    """Return the name of the event that a block of code shows, bare or in an envelope, the event, and the comments."""
    try:
        values, comments, _ = examples.read(block.text if block.code else "")
    except ValueError:
        return "", None, []
    found = values[0] if len(values) == 1 and isinstance(values[0], dict) else {}
    found = found["data"] if isinstance(found.get("data"), dict) else found
    return (f"event {found['e']}" if isinstance(found.get("e"), str) else "", found, comments)


def readings(page: Page) -> list[Reading]:
    """Read a page: each example of an event as a reading of its own, all else as text, by language."""
    texts, found = dict[str, Reading](), list[Reading]()
    for section in page.sections:
        language, name = language_of(section), section.heading or "above the title"
        text = texts.setdefault(language, Reading("", language, section.line))
        text.say(name, Block(section.line, section.heading))
        for block in section.blocks:
            shown, value, comments = event(block)
            if shown:
                found.append(Reading(shown, language, block.line))
                found[-1].add("event", shown.removeprefix("event "), block.line)
                answer(found[-1], value, block)
                text.say(name, *(Block(block.line + line, comment) for line, comment in comments))
            else:
                other(text, name, block)
    return [*texts.values(), *found]


def lists(reading: Reading) -> Iterator[tuple[int, set[str]]]:
    """Yield each list of values, such as the states of an order, with its line."""
    begins = [(line, VALUE.match(line.text)) for line in reading.lines]
    for listed, group in groupby(begins, lambda pair: bool(pair[1])):
        if listed:
            run = list(group)
            yield run[0][0].line, {match[1] for _, match in run if match}
