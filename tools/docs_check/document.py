"""Read operations of an OpenAPI document, events of an AsyncAPI one: ours, or the vendor's. Knows no Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from docs_check import examples
from docs_check.facts import METHODS, Reading, figures

FORM = Draft202012Validator(YAML(typ="safe").load(Path(__file__).with_name("document.schema.yaml")))


class DocumentError(Exception):
    """The document is in no state to be compared; the text says where, in one line."""


def load(path: Path) -> dict[str, Any]:
    """Read a document, and put what each `$ref` names in its place.

    Raises:
        DocumentError: there is no such file, it is no YAML, or it lacks what is compared.

    """
    try:
        root = YAML(typ="safe").load(path)
    except OSError as error:
        raise DocumentError(f"{path.name}: {error.strerror}") from error
    except (YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        raise DocumentError(f"{path.name}:{mark.line + 1 if mark else 1}: {' '.join(problem.split())}") from error
    document = _resolved(root, root, path.name, ())
    for wrong in sorted(FORM.iter_errors(document), key=lambda each: [*map(str, each.absolute_path)]):
        where = ".".join(map(str, wrong.absolute_path)) or "the document"
        raise DocumentError(f"{path.name}: {where}: {wrong.message if len(wrong.message) < 120 else wrong.validator}")
    return dict(document)


def _resolved(node: Any, root: Any, where: str, seen: tuple[str, ...]) -> Any:
    """Put what a `$ref` names in its place. A reference within itself is empty."""
    if isinstance(node, list):
        return [_resolved(item, root, f"{where}.{i}", seen) for i, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    if odd := [key for key in node if not isinstance(key, str)]:
        raise DocumentError(f"{where}: put {odd[0]} in quotes")
    target = node.get("$ref")
    if not isinstance(target, str):
        return {key: _resolved(value, root, f"{where}.{key}", seen) for key, value in node.items()}
    found = _target(root, target, where)
    return {} if target in seen else _resolved(found, root, where, (*seen, target))


def _target(root: Any, target: str, where: str) -> Any:
    """Return what a `$ref` names."""
    found = root
    for step in target.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise DocumentError(f"{where}: $ref to {target}, which is not there")
        found = found[name]
    return found


def type_of(schema: dict[str, Any]) -> str:
    """Return the type of a parameter, as a page's words for types name it."""
    kind, form = str(schema.get("type", "any")), schema.get("format")
    if kind == "number" or form == "decimal":
        return str(form or "decimal")
    return f"integer {form or 'int32'}" if kind == "integer" else "enum" if "enum" in schema else kind


def types(schema: dict[str, Any], path: str = "") -> dict[str, set[str]]:
    """Return every field that a schema names, with its types; the empty path is the whole."""
    inner = _inner(schema, path)
    found = {path: _own_types(schema, is_combined=bool(inner) and inner[0][1] == path)}
    for part, below in inner:
        for key, kinds in types(part, below).items():
            found[key] = found.get(key, set()) | kinds
    return found


def _inner(schema: dict[str, Any], path: str) -> list[tuple[dict[str, Any], str]]:
    """Return the schemas within a schema, each with its path: those that are combined first."""
    inner = [(part, path) for key in ("allOf", "oneOf", "anyOf") for part in schema.get(key, [])]
    inner += [(part, f"{path}.{name}".removeprefix(".")) for name, part in schema.get("properties", {}).items()]
    return inner + ([(schema["items"], f"{path}[]")] if "items" in schema else [])


def _own_types(schema: dict[str, Any], *, is_combined: bool) -> set[str]:
    """Return the types that a schema itself names. Without a word, what is combined of others has theirs."""
    unsaid: list[str] | str = "object" if "properties" in schema else "any"
    whole = schema.get("type", [] if is_combined else unsaid)
    form = f" {schema['format']}" if whole == "integer" and "format" in schema else ""
    kinds = {f"{kind}{form}" for kind in ([whole] if isinstance(whole, str) else whole)}
    return kinds | ({"null"} if schema.get("nullable") else set())


def answer(found: Reading, media: dict[str, Any] | None) -> None:
    """Add the fields of an answer: those of the examples in this language; without one, the schema's."""
    media = media if media is not None else {"schema": {"type": "no body"}}
    named = types(media.get("schema", {}))
    shown = _examples(media, found.language)
    seen = [pair for value in shown for pair in examples.fields(value)]
    for path, kind in seen or [(path, "") for path in named]:
        for one in named.get(path) or {kind}:
            found.add(f"field {path}" if path else "answer", one)


def _examples(media: dict[str, Any], language: str) -> list[Any]:
    """Return the examples of an answer: the one of no language, and those of this language."""
    if not language:
        return []
    found = [media["example"]] if "example" in media else []
    named = media.get("examples", {}).values()
    return found + [each.get("value") for each in named if each.get("x-language", language) == language]


@dataclass
class Operation:
    """One operation or event of a document."""

    name: str
    spec: dict[str, Any]
    schemes: dict[str, Any]

    @property
    def source(self) -> dict[str, Any]:
        """Return what the document records of the page."""
        return dict(self.spec.get("x-source", {}))

    def reading(self, language: str = "") -> Reading:
        """Return the facts, as far as they hold for the page's part of a language."""
        found = Reading(self.name, language)
        if "payload" in self.spec:
            answer(found, {"schema": self.spec["payload"]})
            return found
        found.add("endpoint", self.name)
        found.add("title", self.source.get("title", {}).get(language, ""))
        found.add("security type", self.spec.get("x-security-type", "NONE").replace("NONE", ""))
        found.add("lifetime", str(self.spec.get("x-lifetime-minutes", "")))
        ours = self.spec.get("x-request-weight", {})
        theirs = [{"weight": self.spec.get(f"x-{scope}-weight", ""), "scope": scope} for scope in ("ip", "uid")]
        for cost in (ours, *theirs):
            if value := "; ".join(map(figures, cost.get("table", []))) or str(cost.get("weight", "")):
                found.add("weight", value)
                found.add("weight counted per", cost.get("scope", "none"))
        self.parameters(found)
        good: dict[str, Any] = next((each for code, each in self.spec["responses"].items() if code[0] == "2"), {})
        answer(found, next(iter(good.get("content", {}).values()), None))
        return found

    def parameters(self, found: Reading) -> None:
        """Add the parameters. The API key is one in the vendor's file, and a security scheme in ours: one fact."""
        for name in (name for each in self.spec.get("security", []) for name in each):
            found.add("api key", f"{self.schemes.get(name, {}).get('in')} {self.schemes.get(name, {}).get('name')}")
        for each in self.spec.get("parameters", []):
            if each.get("in") == "header" and each["name"].upper().endswith("APIKEY"):
                found.add("api key", f"header {each['name']}")
            else:
                required = "required" if each.get("required") else "optional"
                found.add(f"parameter {each['name']}", f"{type_of(each.get('schema', {}))}, {required}")


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield a document's operations and events, in its own order."""
    components = document.get("components", {})
    schemes, messages = components.get("securitySchemes", {}), dict(components.get("messages", {}))
    for path, item in document.get("paths", {}).items():
        for method, spec in item.items():
            if method.upper() in METHODS:
                both = [*item.get("parameters", []), *spec.get("parameters", [])]
                yield Operation(f"{method.upper()} {path}", {**spec, "parameters": both}, schemes)
    for channel in document.get("channels", {}).values():
        messages |= channel.get("messages", {})
    for key, message in messages.items():
        payload = message.get("payload", {})
        bare = payload if "e" in payload.get("properties", {}) else payload.get("properties", {}).get("data", payload)
        kind = {"enum": [], **bare.get("properties", {}).get("e", {})}
        name = kind.get("const") or [*kind["enum"], message.get("name", key)][0]
        yield Operation(f"event {name}", {**message, "payload": bare}, {})
