"""generated/binance_options_events, from asyncapi.yaml: frozen classes whose attributes are words.

datamodel-code-generator 0.89 was tried: its dataclasses lose the keys of the wire, its msgspec classes need a further
dependency at run time, and both leave out units, documented values, times and the raw mapping.
"""

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

Document = Mapping[str, Any]
_KINDS = {"text": "str", "integer": "int", "decimal": "Decimal", "time": "datetime", "flag": "bool"}
_REFERENCE = "#/components/schemas/"

_HEAD = '''"""{title}: the events, by their human names. Written by `make generate` from asyncapi.yaml.

Amounts are exact decimals. Times are aware UTC datetimes, to the millisecond. An optional attribute is None when it was
not sent or could not be read. `raw` is the event as it arrived, by the keys of the wire, undocumented fields included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

__all__ = {exports}


@dataclass(frozen=True, slots=True)
class Field:
    """How one attribute is read: its name, the key of the wire, what the value is, and of which class."""

    name: str
    key: str
    kind: Literal["text", "integer", "decimal", "time", "flag", "object", "list"]
    required: bool
    of: type | None = None
'''


class UnusableDocument(Exception):
    """No class can be made of a part of the document. The text says which part, and why."""


class _Schema:
    """A schema of the document, checked."""

    def __init__(self, name: str, schema: Document) -> None:
        self.name, self.description = name, _text(name, schema)
        self.properties: Document = schema.get("properties", {})
        self.required = set(schema.get("required", ()))
        if schema.get("type") != "object" or not self.properties:
            raise UnusableDocument(f"{name}: not an object with properties")
        if unknown := self.required - set(self.properties):
            raise UnusableDocument(f"{name}: required, and not a property: {', '.join(sorted(unknown))}")
        names = [self._name(key) for key in self.properties]
        if twice := {each for each in names if names.count(each) > 1}:
            raise UnusableDocument(f"{name}: x-name used twice: {', '.join(sorted(twice))}")
        self.kind: str | None = None  # the value of the key that tells events apart
        self.fields: list[tuple[str, str, str, str, bool, bool]] = []  # name, key, kind, class, required, secret
        for key, prop in self.properties.items():
            _text(f"{name}.{key}", prop)
            if "const" in prop:
                self.kind = prop["const"]
            else:
                kind, of = _kind(f"{name}.{key}", prop)
                secret = prop.get("format") == "password"
                self.fields.append((self._name(key), key, kind, of, key in self.required, secret))

    def _name(self, key: str) -> str:
        name = self.properties[key].get("x-name")
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
            raise UnusableDocument(f"{self.name}.{key}: x-name must be a word in snake_case, not {name!r}")
        if name == "raw":
            raise UnusableDocument(f"{self.name}.{key}: x-name raw is taken: it is the event as it arrived")
        return name

    def lines(self) -> Iterator[str]:
        yield "@dataclass(frozen=True, slots=True, kw_only=True)"
        yield f"class {self.name}:"
        yield f'    """{self.description}'
        yield ""
        yield "    Attributes:"
        for name, key, *_ in self.fields:
            yield from _attribute(name, key, self.properties[key])
        yield '    """'
        yield ""
        if self.kind is not None:
            yield f'    event_type: ClassVar[Literal["{self.kind}"]] = "{self.kind}"'
        for name, _, kind, of, required, secret in self.fields:
            hint = of if kind == "object" else f"tuple[{of}, ...]" if kind == "list" else _KINDS[kind]
            options = ([] if required else ["default=None"]) + (["repr=False"] if secret else [])
            value = f" = field({', '.join(options)})" if secret else "" if required else " = None"
            yield f"    {name}: {hint if required else hint + ' | None'}{value}"
        if self.kind is not None:
            yield "    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)"
        yield ""


def _text(where: str, schema: Document) -> str:
    text = schema.get("description")
    if not isinstance(text, str) or not text.strip():
        raise UnusableDocument(f"{where}: no description")
    return text.strip()


def _attribute(name: str, key: str, prop: Document) -> list[str]:
    notes = [prop["description"]]
    if values := prop.get("x-documented-values"):
        notes.append(f"Documented: {', '.join(values)}.")
    if (unit := prop.get("x-unit")) and unit != "ms":
        notes.append(f"In {unit}.")
    text = f"{name}: {' '.join(notes)} (`{key}`)"
    return textwrap.wrap(text, 112, initial_indent=" " * 8, subsequent_indent=" " * 12)


def _kind(where: str, prop: Document) -> tuple[str, str]:
    """Return the kind of a property's value, and the class."""
    kind = prop.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    if "allOf" in prop:
        return "object", _class(where, prop["allOf"][0])
    if kind == "array":
        return "list", _class(where, prop.get("items", {}))
    if prop.get("x-unit") == "ms" and kind in ("integer", "string"):
        return "time", ""
    if kind == "string":
        return "decimal" if prop.get("format") == "decimal" else "text", ""
    if kind in ("integer", "boolean"):
        return "integer" if kind == "integer" else "flag", ""
    raise UnusableDocument(f"{where}: cannot read a value of type {kind!r}")


def _class(where: str, schema: Document) -> str:
    reference = schema.get("$ref", "")
    if not reference.startswith(_REFERENCE):
        raise UnusableDocument(f"{where}: must refer to a schema of {_REFERENCE}")
    return str(reference.removeprefix(_REFERENCE))


def _ordered(schemas: dict[str, _Schema]) -> list[_Schema]:
    """Put each schema after the schemas of its parts."""
    ordered: dict[str, _Schema] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name not in schemas or name in above:
            raise UnusableDocument(f"{' -> '.join([*above, name])}: no such schema, or one that holds itself")
        for _, _, _, of, _, _ in schemas[name].fields:
            if of:
                add(of, (*above, name))
        ordered[name] = schemas[name]

    for name in schemas:
        add(name, ())
    return list(ordered.values())


def check(document: Document) -> None:
    """Refuse faults that AsyncAPI's own schema and Spectral pass over: addresses and their parameters, and examples.

    Raises:
        UnusableDocument: the text says where, and why.
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


def source(document: Document) -> str:
    """Return the package's module.

    Raises:
        UnusableDocument: no class can be made of something in the document.
    """
    try:
        schemas = _ordered({name: _Schema(name, each) for name, each in document["components"]["schemas"].items()})
        events = {}
        for message in document["components"]["messages"].values():
            name = _class(message["name"], message["payload"])
            events[message["name"]] = name
            if name not in {each.name for each in schemas if each.kind == message["name"]}:
                raise UnusableDocument(f"message {message['name']}: its payload is not marked by that constant")
        check(document)
        title = f"{document['info']['title']} {document['info']['version']}"
    except (KeyError, AttributeError, TypeError) as error:
        raise UnusableDocument(f"missing, or of another kind: {error}") from error
    names = [each.name for each in schemas]
    lines = [_HEAD.format(exports=sorted([*names, "EVENTS", "FIELDS", "Event", "Field"]), title=title)]
    for each in schemas:
        lines += [*each.lines(), ""]
    lines.append(f"Event: TypeAlias = {' | '.join(events.values())}")
    lines.append("EVENTS: Mapping[str, type[Event]] = MappingProxyType({")
    lines += [f'    "{kind}": {name},' for kind, name in events.items()]
    lines.append("})")
    lines.append('"""The class of each event, by the value of its key `e`."""')
    lines.append("FIELDS: Mapping[type, tuple[Field, ...]] = MappingProxyType({")
    for each in schemas:
        lines.append(f"    {each.name}: (")
        for name, key, kind, of, required, _ in each.fields:
            lines.append(f'        Field("{name}", "{key}", "{kind}", {required}{of and f", {of}"}),')
        lines.append("    ),")
    lines.append("})")
    lines.append('"""How each class is read."""')
    return "\n".join(lines) + "\n"
