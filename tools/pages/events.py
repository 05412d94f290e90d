"""Write docs/events.md from asyncapi.yaml: keys, attributes, types, units, values and a payload of each event."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "events.md"
OWN = "listenKeyExpired"  # the stream answers this event, and hands out a Gap
TYPES = {"decimal": "`Decimal`", "int64": "`int`", "password": "`str`", "string": "`str`", "boolean": "`bool`"}


def name_of(reference: str) -> str:
    """Give the name of the schema behind a reference."""
    return reference.rpartition("/")[2]


def inner(field: Mapping[str, Any]) -> str | None:
    """Give the name of the schema of a field's object, or of the objects in a field's list. None: a plain value."""
    held = field.get("items", {}).get("$ref") or next((each["$ref"] for each in field.get("allOf", ())), None)
    return name_of(held) if held else None


def type_of(field: Mapping[str, Any]) -> str:
    """Give the Python type of an attribute."""
    if other := inner(field):
        return f"`tuple` of `{other}`" if "items" in field else f"`{other}`"
    if field.get("x-unit") == "ms":
        return "`datetime`"
    kind = field["type"]
    return TYPES[field.get("format") or (kind if isinstance(kind, str) else kind[0])]


def meaning(field: Mapping[str, Any], *, required: bool) -> str:
    """Describe an attribute: the document's words, the unit, the listed values."""
    told = [field["description"]]
    if (unit := field.get("x-unit", "ms")) != "ms":
        told.append(f"In {unit}.")
    if values := field.get("x-documented-values"):
        told.append(f"Listed: {', '.join(f'`{value}`' for value in values)}.")
    if not required:
        told.append("*Optional.*")
    return " ".join(told)


def tables(name: str, schemas: Mapping[str, Any], parent: str | None = None) -> Iterator[dict[str, Any]]:
    """Give the table of a class, then the tables of the classes inside."""
    schema = schemas[name]
    fields = {key: field for key, field in schema["properties"].items() if "const" not in field}
    rows = [
        {
            "key": key,
            "name": field["x-name"],
            "type": type_of(field),
            "meaning": meaning(field, required=key in schema["required"]),
        }
        for key, field in fields.items()
    ]
    yield {"parent": parent, "name": name, "description": schema["description"], "rows": rows}
    for field in fields.values():
        if other := inner(field):
            yield from tables(other, schemas, field["x-name"])


def page() -> str:
    """Write the page."""
    document = YAML(typ="safe").load(ROOT / "asyncapi.yaml")
    schemas = document["components"]["schemas"]
    messages = [
        {
            "name": message["name"],
            "class": name_of(message["payload"]["$ref"]),
            "own": message["name"] == OWN,
            "summary": " ".join(message["summary"].split()),
            "tables": list(tables(name_of(message["payload"]["$ref"]), schemas)),
            "examples": [json.dumps(each["payload"], indent=2) for each in message["examples"]],
            "source": {"seen": None, **message["x-source"]},
        }
        for message in document["components"]["messages"].values()
    ]
    templates = Environment(  # noqa: S701  Markdown, not HTML
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("events.md.jinja").render(messages=messages)
