"""`make pages`: write the pages of docs/ that are made from documents and programs."""

from pages import events, other_languages

for module in (events, other_languages):
    module.PAGE.write_text(module.page(), encoding="utf-8")
