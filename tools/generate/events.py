"""Write generated/binance_options_events from asyncapi.yaml: frozen classes with words as attributes.

This file reads and checks the document. The template events.py.jinja has the text of the module.

datamodel-code-generator 0.89 was tried: the dataclasses lose the keys of the wire, the msgspec classes need a further
dependency at run time, and both leave out units, documented values, times and the raw mapping.
"""

import keyword
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from jinja2 import Environment, FileSystemLoader, StrictUndefined

Document = Mapping[str, Any]
HINTS = {"text": "str", "integer": "int", "decimal": "Decimal", "time": "datetime", "flag": "bool"}
JSON_TYPES = {"text": "str", "integer": "int", "time": "int", "flag": "bool", "list": "list"}
REFERENCE = "#/components/schemas/"


class UnusableDocument(Exception):
    """A part of the document cannot become a class. The text names the part and the reason."""


@dataclass(frozen=True)
class Attribute:
    """An attribute of a class: a property of a schema, by its human name.

    Attributes:
        name: the human name.
        key: the key of the wire.
        kind: the kind of the value, in the words of the generated `Field.kind`.
        of: the class of an object, or of the items of a list. Empty for any other kind.
        required: whether the document requires the property.
        secret: whether the value is a secret.
        text: the line of the docstring.
    """

    name: str
    key: str
    kind: str
    of: str
    required: bool
    secret: bool
    text: str

    @property
    def hint(self) -> str:
        """Return the type."""
        hint = {**HINTS, "object": self.of, "list": f"tuple[{self.of}, ...]"}[self.kind]
        return hint if self.required else f"{hint} | None"

    @property
    def taken(self) -> str:
        """Return how a reader takes the value from the object of the wire."""
        return f'raw["{self.key}"]' if self.required else f'get("{self.key}")'

    @property
    def check(self) -> str:
        """Return how a reader checks the type. Empty: the value is checked where it is read."""
        if self.kind in ("decimal", "object"):
            return ""
        check = f"type({self.name}) is {JSON_TYPES[self.kind]}"
        return check if self.required else f"({self.name} is None or {check})"

    @property
    def read(self) -> str:
        """Return how a reader reads the value that it has taken and checked."""
        read = {
            "time": f"time({self.name})",
            "object": f"{reader(self.of)}({self.name})",
            "list": f"tuple([{reader(self.of)}(each) for each in {self.name}])",
        }.get(self.kind, self.name)
        return read if self.required or read == self.name else f"None if {self.name} is None else {read}"

    @property
    def default(self) -> str:
        """Return the text behind the type."""
        if self.secret:
            return f" = field({'' if self.required else 'default=None, '}repr=False)"
        return "" if self.required else " = None"


@dataclass(frozen=True)
class Class:
    """A class of the package, from a schema of the document. `event_type` is None for a part of an event."""

    name: str
    description: str
    event_type: str | None
    attributes: list[Attribute]


def class_of(name: str, schema: Document) -> Class:
    """Check a schema, and make a class of the schema."""
    description, properties = described(name, schema), properties_of(name, schema)
    constants = {key: prop["const"] for key, prop in properties.items() if "const" in prop}
    required = set(schema.get("required", ()))
    read = {key: attribute(name, key, prop, key in required) for key, prop in properties.items()}
    attributes = [each for key, each in read.items() if key not in constants]
    return Class(name, description, next(iter(constants.values()), None), attributes)


def properties_of(name: str, schema: Document) -> Document:
    """Return the properties of a schema. The schema must be an object, and no two properties may share a name."""
    properties: Document = schema.get("properties", {})
    if schema.get("type") != "object" or not properties:
        raise UnusableDocument(f"{name}: not an object with properties")
    if unknown := set(schema.get("required", ())) - set(properties):
        raise UnusableDocument(f"{name}: required, and not a property: {', '.join(sorted(unknown))}")
    names = [name_of(f"{name}.{key}", prop) for key, prop in properties.items()]
    if twice := {each for each in names if names.count(each) > 1}:
        raise UnusableDocument(f"{name}: x-name used twice: {', '.join(sorted(twice))}")
    return properties


def described(where: str, schema: Document) -> str:
    """Return the description. A description must be there."""
    text = schema.get("description")
    if not isinstance(text, str) or not text.strip():
        raise UnusableDocument(f"{where}: no description")
    return text.strip()


def name_of(where: str, prop: Document) -> str:
    """Return the human name. The name must be a name in Python."""
    name = prop.get("x-name")
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise UnusableDocument(f"{where}: x-name must be a word in snake_case, not {name!r}")
    if name == "raw":
        raise UnusableDocument(f"{where}: x-name raw is taken: it is the event as it arrived")
    return name


def attribute(owner: str, key: str, prop: Document, required: bool) -> Attribute:
    """Make an attribute of a property."""
    where = f"{owner}.{key}"
    name, notes = name_of(where, prop), [described(where, prop)]
    if values := prop.get("x-documented-values"):
        notes.append(f"Documented: {', '.join(values)}.")
    if (unit := prop.get("x-unit")) and unit != "ms":
        notes.append(f"In {unit}.")
    kind, of = ("text", "") if "const" in prop else kind_of(where, prop)
    secret = prop.get("format") == "password"
    return Attribute(name, key, kind, of, required, secret, f"{name}: {' '.join(notes)} (`{key}`)")


def kind_of(where: str, prop: Document) -> tuple[str, str]:
    """Return the kind of a property's value, and the class of an object or a list."""
    if "allOf" in prop:
        return "object", referred(where, prop["allOf"][0])
    kind = prop.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    if kind == "array":
        return "list", referred(where, prop.get("items", {}))
    if prop.get("x-unit") == "ms" and kind in ("integer", "string"):
        return "time", ""
    text = "decimal" if prop.get("format") == "decimal" else "text"
    kinds = {"string": text, "integer": "integer", "boolean": "flag"}
    if kind not in kinds:
        raise UnusableDocument(f"{where}: cannot read a value of type {kind!r}")
    return kinds[kind], ""


def referred(where: str, schema: Document) -> str:
    """Return the name of the schema behind a `$ref`."""
    reference = schema.get("$ref", "")
    if not reference.startswith(REFERENCE):
        raise UnusableDocument(f"{where}: must refer to a schema of {REFERENCE}")
    return str(reference.removeprefix(REFERENCE))


def ordered(classes: dict[str, Class]) -> list[Class]:
    """Sort the classes: first the parts, then the class with the parts."""
    done: dict[str, Class] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name not in classes or name in above:
            raise UnusableDocument(f"{' -> '.join([*above, name])}: no such schema, or one that holds itself")
        for each in classes[name].attributes:
            if each.of:
                add(each.of, (*above, name))
        done[name] = classes[name]

    for name in classes:
        add(name, ())
    return list(done.values())


def events_of(messages: Document, classes: list[Class]) -> dict[str, str]:
    """Return the class of each event, by the value of the event's key `e`."""
    marked = {(each.name, each.event_type) for each in classes}
    events = {each["name"]: referred(each["name"], each["payload"]) for each in messages.values()}
    for event_type, name in events.items():
        if (name, event_type) not in marked:
            raise UnusableDocument(f"message {event_type}: its payload is not marked by that constant")
    return events


def check(document: Document) -> None:
    """Refuse faults that AsyncAPI's own schema and Spectral miss: parameters of addresses, and wrong examples.

    Raises:
        UnusableDocument: there is a fault. The text names the place and the reason.
    """
    for name, channel in document["channels"].items():
        if set(re.findall(r"{(\w+)}", channel["address"])) != set(channel.get("parameters", ())):
            raise UnusableDocument(f"channel {name}: the address and the parameters do not name the same")
    for name, message in document["components"]["messages"].items():
        reader = jsonschema.Draft7Validator({**message["payload"], "components": document["components"]})
        if not message.get("examples"):
            raise UnusableDocument(f"message {name}: no example")
        for example in message["examples"]:
            for error in reader.iter_errors(example["payload"]):
                raise UnusableDocument(f"message {name}: example {example['name']}: {error.json_path}: {error.message}")


def hanging(text: str) -> str:
    """Wrap a line of a docstring. Further lines are indented by 12."""
    return textwrap.fill(text, 112, initial_indent=" " * 8, subsequent_indent=" " * 12).lstrip()


def reader(name: str) -> str:
    """Return the name of the function that reads objects of a class."""
    return "read" + re.sub("([A-Z])", r"_\1", name).lower()


def sources(document: Document) -> dict[str, str]:
    """Return the package's modules, by the names of their files.

    Raises:
        UnusableDocument: a part of the document cannot become a class.
    """
    try:
        schemas = document["components"]["schemas"]
        classes = ordered({name: class_of(name, schema) for name, schema in schemas.items()})
        events = events_of(document["components"]["messages"], classes)
        check(document)
        title = f"{document['info']['title']} {document['info']['version']}"
    except (KeyError, AttributeError, TypeError) as error:
        raise UnusableDocument(f"missing, or of another kind: {error}") from error
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701  Python, no HTML
    templates.filters["hanging"] = hanging
    templates.filters["reader"] = reader
    exports = sorted([*(each.name for each in classes), "EVENTS", "FIELDS", "Event", "Field"])
    parts = {"title": title, "exports": exports, "classes": classes, "events": events}
    files = {"__init__.py": "events.py.jinja", "reading.py": "reading.py.jinja"}
    return {name: templates.get_template(template).render(parts) for name, template in files.items()}
