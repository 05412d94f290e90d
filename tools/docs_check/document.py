"""Read operations of an OpenAPI document, events of an AsyncAPI one: ours, or the vendor's. Knows no Markdown."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from docs_check import examples
from docs_check.facts import METHODS, Line, Reading, figures, lifetime
from docs_check.page import Block, Unclear

FORMS = YAML(typ="safe").load(Path(__file__).with_name("document.schema.yaml"))
PARTS = {"paths", "channels", "operations", "components", "tags"}
COMBINED = ("allOf", "oneOf", "anyOf")
# What of a vendor's schema file is compared as a fact. All else is a line of text.
FACTS = re.compile(
    r"x-(ip|uid)-weight:|x-security-type:"
    r"|parameters (header:\S+ (name|in|required):|query:\S+ (name:|required:|schema type:|schema format: .int))"
    r"|(responses 200 content application/json schema|payload)( properties \S+| items| (all|any|one)Of \d+)*"
    r" (type:|nullable:|enum:|format: .int)"
)


@lru_cache
def parsed(text: str) -> Any:
    """Read YAML. Nobody changes what is returned: `load` makes a document of its own out of it."""
    return YAML(typ="safe").load(text)


def load(path: Path) -> dict[str, Any]:
    """Read a document, and put what each `$ref` names in its place.

    Raises:
        Unclear: there is no such file, it is no YAML, or it lacks what is compared.

    """
    try:
        root = parsed(path.read_text(encoding="utf-8"))
        if not isinstance(root, dict):
            raise Unclear(f"{path.name}: the document: it is no mapping of names")
        resolver = Registry[Any]().with_resource("", DRAFT202012.create_resource(root)).resolver()
        document = resolved(root, resolver.lookup, ())
    except OSError as error:
        raise Unclear(f"{path.name}: {error.strerror}") from error
    except (Unresolvable, TypeError) as error:  # the second: there is no mapping where one was to be looked into
        where = f"#{getattr(error, 'ref', '')}"
        raise Unclear(f"{path.name}: $ref to {where}, which is not there") from error
    except RecursionError as error:
        raise Unclear(f"{path.name}: a part of it contains itself, or is too deep") from error
    except (YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        raise Unclear(f"{path.name}:{mark.line + 1 if mark else 1}: {' '.join(problem.split())}") from error
    check(document, path.name)
    return dict(document)


def check(document: object, name: str, form: str = "document") -> None:
    """Hold a document, or the lock file, against its form.

    Raises:
        Unclear: something in it has another shape.

    """
    if wrong := best_match(Draft202012Validator({**FORMS, "$ref": f"#/$defs/{form}"}).iter_errors(document)):
        where = ".".join(map(str, wrong.absolute_path)) or "the document"
        raise Unclear(f"{name}: {where}: {wrong.message if len(wrong.message) < 120 else wrong.validator}")


def resolved(node: Any, lookup: Any, seen: tuple[str, ...]) -> Any:
    """Put what a `$ref` names in its place. A reference within itself is empty. A status may be written as a number."""
    if isinstance(node, list):
        return [resolved(item, lookup, seen) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(target := node.get("$ref"), str):
        return {} if target in seen else resolved(lookup(target).contents, lookup, (*seen, target))
    return {str(key): resolved(value, lookup, seen) for key, value in node.items()}


def type_of(schema: dict[str, Any]) -> str:
    """Return the type of a parameter, as a page's words for types name it."""
    kind, form = str(schema.get("type", "any")), schema.get("format")
    if kind == "number" or form == "decimal":
        return str(form or "decimal")
    return f"integer {form or 'int32'}" if kind == "integer" else "enum" if "enum" in schema else kind


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a schema and every schema within it, each with the path of its field; the empty path is the whole."""
    yield path, schema
    inner = [(part, path) for key in COMBINED for part in schema.get(key, [])]
    inner += [(part, f"{path}.{name}".removeprefix(".")) for name, part in schema.get("properties", {}).items()]
    inner += [(schema["items"], f"{path}[]")] if "items" in schema else []
    for part, below in inner:
        yield from nodes(part, below)


def types(schema: dict[str, Any]) -> set[str]:
    """Return the types that a schema itself names. Without a word, what is combined of others has theirs."""
    unsaid = [] if any(key in schema for key in COMBINED) else ["object" if "properties" in schema else "any"]
    whole = schema.get("type", unsaid)
    kinds = {whole} if isinstance(whole, str) else set(whole)
    if "integer" in kinds and "format" in schema:
        kinds = kinds - {"integer"} | {f"integer {schema['format']}"}
    return kinds | ({"null"} if schema.get("nullable") else set())


def answer(found: Reading, media: dict[str, Any] | None) -> None:
    """Add the fields of an answer: those of the examples in this language; without one, the schema's."""
    media = media if media is not None else {"schema": {"type": "no body"}}
    named: dict[str, set[str]] = {}
    for path, node in nodes(media.get("schema", {})):
        named[path] = named.get(path, set()) | types(node)
    shown = [pair for value in _examples(media, found.language) for pair in examples.fields(value)]
    for path, kind in shown or [(path, "") for path in named]:
        found.add(f"field {path}" if path else "answer", "|".join(named.get(path) or {kind}))


def _examples(media: dict[str, Any], language: str) -> list[Any]:
    """Return the examples of an answer: the one of no language, and those of this language."""
    if not language:
        return []
    found = [media["example"]] if "example" in media else []
    named = media.get("examples", {}).values()
    return found + [each.get("value") for each in named if each.get("x-language", language) == language]


def leaves(node: Any, *path: str) -> Iterator[tuple[str, str]]:
    """Yield what stands in a document, each value with its path. The order of keys and of lists says nothing."""
    if isinstance(node, list) and isinstance([*node, ""][0], dict):
        node = {parameter_name(item) or str(i): item for i, item in enumerate(node)}
    if isinstance(node, dict) and node:
        for key in sorted(node):
            yield from leaves(node[key], *path, key)
    else:
        said = sorted(map(str, node)) if isinstance(node, list) else node
        yield " ".join(path), json.dumps(said, ensure_ascii=False, default=str)


def parameter_name(item: Any) -> str:
    """Return what names a parameter, wherever it stands in a list."""
    return f"{item['in']}:{item['name']}" if isinstance(item, dict) and item.keys() >= {"in", "name"} else ""


@dataclass
class Operation:
    """One operation or event of a document."""

    name: str
    spec: dict[str, Any]
    schemes: dict[str, Any]
    united: bool = False  # of an event: whether a schema of the vendor's lists it among others

    @property
    def source(self) -> dict[str, Any]:
        """Return what the document records of the page."""
        return dict(self.spec.get("x-source", {}))

    @property
    def answer(self) -> dict[str, Any] | None:
        """Return the body of the good answer of an operation, or an event; None without one."""
        if "payload" in self.spec:
            return {"schema": self.spec["payload"]}
        good = [each for code, each in self.spec["responses"].items() if code[0] == "2"]
        return next((media for each in good[:1] for media in each.get("content", {}).values()), None)

    @property
    def values(self) -> dict[str, set[str]]:
        """Return the lists of values that the answer states, by field. `e` has one: it is the event's name."""
        found = nodes((self.answer or {}).get("schema", {}))
        listed = ((path, node.get("enum") or node.get("x-documented-values", ())) for path, node in found)
        return {path: set(map(str, each)) for path, each in listed if each and (path != "e" or len(each) > 1)}

    def title(self, language: str) -> str:
        """Return the title of the page in a language, as it is recorded."""
        return str(self.source.get("title", {}).get(language, ""))

    def reading(self, language: str = "") -> Reading:
        """Return the facts, as far as they hold for the page's part of a language."""
        found = Reading(self.name, language)
        answer(found, self.answer)
        if not language:
            for path, listed in self.values.items():
                found.add(f"values {path}", "|".join(listed))
        if "payload" in self.spec:
            found.add("event", self.name.removeprefix("event "))
        else:
            self.facts(found)
        return found

    def facts(self, found: Reading) -> None:
        """Add the facts of an operation, but for its answer."""
        found.add("endpoint", self.name)
        found.add("title", self.title(found.language))
        found.add("security type", self.spec.get("x-security-type", "NONE").replace("NONE", ""))
        found.add("lifetime", str(self.spec.get("x-lifetime-minutes", "")))
        ours = self.spec.get("x-request-weight", {})
        theirs = [{"weight": self.spec.get(f"x-{scope}-weight", ""), "scope": scope} for scope in ("ip", "uid")]
        for cost in (ours, *theirs):
            if value := "; ".join(map(figures, cost.get("table", []))) or str(cost.get("weight", "")).strip("* "):
                found.add("weight", value)
                found.add("weight counted per", cost.get("scope", "none"))
        self.parameters(found)

    def parameters(self, found: Reading) -> None:
        """Add the parameters. The API key is one in the vendor's file, and a security scheme in ours: one fact."""
        for name in (name for each in self.spec.get("security", []) for name in each):
            found.add("api key", f"{self.schemes.get(name, {}).get('in')} {self.schemes.get(name, {}).get('name')}")
        for each in self.spec["parameters"]:
            if each.get("in") == "header" and each["name"].upper().endswith("APIKEY"):
                found.add("api key", f"header {each['name']}{'' if each.get('required') else ', optional'}")
            else:
                required = "required" if each.get("required") else "optional"
                found.add(f"parameter {each['name']}", f"{type_of(each.get('schema', {}))}, {required}")

    def vendor(self) -> Reading:
        """Return the facts of a vendor's file, whose lifetime stands in words, and all else as lines of text."""
        found = self.reading()
        for path, value in leaves(self.spec):
            if not FACTS.match(f"{path}: {value}"):
                found.lines.append(Line(f"{self.name}: {path}", value, 1))
        lifetime(found, Block(1, str(self.spec.get("description", ""))))
        return found


def whole(document: dict[str, Any]) -> Reading:
    """Return what a vendor's file says beside its operations and schemas, such as its servers, as lines of text."""
    kept = {key: value for key, value in document.items() if key not in {"openapi", "asyncapi", *PARTS}}
    kept["info"] = {key: value for key, value in kept.get("info", {}).items() if key != "version"}
    return Reading(lines=[Line(f"the file: {path}", value, 1) for path, value in leaves(kept)])


def extract(document: dict[str, Any], chosen: Iterable[Operation]) -> dict[str, Any]:
    """Return what a vendor's file says of some operations and events, as a file of the same form."""
    kept = {key: value for key, value in document.items() if key not in PARTS}
    kept |= {"paths": {}, "components": {"schemas": {}}}
    for each in chosen:
        if "payload" in each.spec:
            kept["components"]["schemas"][each.name.removeprefix("event ")] = each.spec["payload"]
        else:
            method, path = each.name.split(" ", 1)
            kept["paths"].setdefault(path, {})[method.lower()] = each.spec
    return kept


def answering(document: dict[str, Any]) -> dict[str, Any]:
    """Return an extract with each event as the answer of a path, because oasdiff looks at paths alone."""
    schemas = document["components"]["schemas"]
    good = {name: {"200": {"content": {"application/json": {"schema": each}}}} for name, each in schemas.items()}
    paths = {f"/{name}": {"get": {"responses": responses}} for name, responses in good.items()}
    return {**document, "paths": document["paths"] | paths, "components": {}}


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield a document's operations and events, in its own order."""
    components = document.get("components", {})
    schemes, messages = components.get("securitySchemes", {}), dict(components.get("messages", {}))
    for path, item in document.get("paths", {}).items():
        shared = {key: value for key, value in item.items() if key.upper() not in METHODS}
        for method in filter(lambda key: key not in shared, item):
            both = [*item.get("parameters", []), *item[method].get("parameters", [])]
            yield Operation(f"{method.upper()} {path}", {**shared, **item[method], "parameters": both}, schemes)
    for channel in document.get("channels", {}).values():
        messages |= channel.get("messages", {})
    yield from map(event, *zip(*messages.items(), strict=True)) if messages else events(components.get("schemas", {}))


def event(key: str, message: dict[str, Any]) -> Operation:
    """Return the event that a message describes, bare or in an envelope."""
    payload = message.get("payload", {})
    bare = payload if "e" in payload.get("properties", {}) else payload.get("properties", {}).get("data", payload)
    kind = next((node for path, node in nodes(bare) if path == "e"), {})
    name = kind.get("const") or [*kind.get("enum", []), message.get("name", key)][0]
    return Operation(f"event {name}", {**message, "payload": bare}, {})


def events(schemas: dict[str, Any]) -> Iterator[Operation]:
    """Yield the events of a vendor's file, which has no messages: the schemas with a kind, and a time or one name."""
    found: dict[str, Operation] = {}
    for key, schema in schemas.items():
        bare = schema.get("properties", {}).get("data", schema)
        united = [*bare.get("oneOf", []), *bare.get("anyOf", [])]
        for part in united or [schema]:
            fields = {path.removeprefix("data."): node for path, node in nodes(part)}
            if "e" in fields and ("E" in fields or len(fields["e"].get("enum", ())) == 1):
                each = event(f"{key}, whose e has no value", {"payload": part})
                known = found.setdefault(each.name, each)
                known.united |= bool(united)
                if known.spec != each.spec:
                    known.spec = {"payload": {"oneOf": [known.spec["payload"], each.spec["payload"]]}}
    yield from found.values()
