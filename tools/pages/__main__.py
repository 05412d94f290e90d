"""`make pages`: write docs/events.md from asyncapi.yaml, docs/other-languages.md from the programs of tests/reuse."""

from pages import events, other_languages

for module in (events, other_languages):
    module.PAGE.write_text(module.page(), encoding="utf-8")
