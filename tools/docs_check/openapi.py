"""Read operations out of an OpenAPI document: ours, or the vendor's own schema file. Knows no Markdown."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from docs_check import examples
from docs_check.facts import METHODS, Reading, figures

NAMES = {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing", int: "a number"}


class DocumentError(Exception):
    """The document is in no state to be compared; the text says where, in one line."""


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        DocumentError: there is no such file, or it is no such YAML.

    """
    try:
        document = YAML(typ="safe").load(path)
    except OSError as error:
        raise DocumentError(f"{path.name}: {error.strerror}") from error
    except (YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        raise DocumentError(f"{path.name}:{mark.line + 1 if mark else 1}: {' '.join(problem.split())}") from error
    found: dict[str, Any] = have(document, dict, path.name)
    return found


def have(value: Any, kind: Any, where: str) -> Any:
    """Return a value if it is of its kind.

    Raises:
        DocumentError: it is not.

    """
    if not isinstance(value, kind):
        found, wanted = (NAMES.get(name, name.__name__) for name in (type(value), kind))
        raise DocumentError(f"{where}: {wanted} is expected, {found} stands there")
    return value


def resolve(node: Any, root: dict[str, Any], where: str, seen: tuple[str, ...] = ()) -> Any:
    """Put what a `$ref` names in its place. A reference within itself is empty."""
    if isinstance(node, list):
        return [resolve(item, root, f"{where}[{i}]", seen) for i, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if not isinstance(target, str):
        return {key: resolve(value, root, f"{where}.{key}", seen) for key, value in node.items()}
    found: Any = root
    for step in target.removeprefix("#/").split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or step not in found:
            raise DocumentError(f"{where}: $ref to {target}, which is not there")
        found = found[step]
    return {} if target in seen else resolve(found, root, where, (*seen, target))


def type_of(schema: dict[str, Any]) -> str:
    """Return a schema's type, as a fact."""
    kind, form = str(schema.get("type", "any")), schema.get("format")
    if "enum" in schema and kind == "string":
        return "enum"
    if (kind == "number" and form is None) or form == "decimal":
        return "decimal"
    return str(form) if kind == "number" else f"integer {form or 'int32'}" if kind == "integer" else kind


def field_types(schema: Any, where: str, path: str = "") -> dict[str, set[str]]:
    """Return every field that a schema names, with its types; the empty path is the whole."""
    schema = have(schema, dict, where)
    below = {key: have(schema[key], list, f"{where}.{key}") for key in ("allOf", "oneOf", "anyOf") if key in schema}
    parts = [(part, f"{where}.{key}[{i}]", path) for key, found in below.items() for i, part in enumerate(found)]
    for name, part in have(schema.get("properties", {}), dict, f"{where}.properties").items():
        parts.append((part, f"{where}.{name}", f"{path}.{name}".removeprefix(".")))
    if "items" in schema:
        parts.append((schema["items"], f"{where}.items", f"{path}[]"))
    named = schema.get("type", None if below else "object" if "properties" in schema else "any")
    kinds = {
        f"integer {schema['format']}" if kind == "integer" and "format" in schema else str(kind)
        for kind in (named if isinstance(named, list) else [named])
        if kind
    }
    found = {path: kinds | ({"null"} if schema.get("nullable") is True else set())}
    for part, at, inner in parts:
        for key, types in field_types(part, at, inner).items():
            found[key] = found.get(key, set()) | types
    return found


@dataclass
class Operation:
    """One operation of a document, with its references resolved."""

    name: str
    where: str
    spec: dict[str, Any]
    schemes: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> dict[str, Any]:
        """Return what the document records of the page."""
        return dict(have(self.spec.get("x-source", {}), dict, f"{self.where}.x-source"))

    def get(self, key: str, kind: Any, default: Any) -> Any:
        """Return a part of the operation, of its kind."""
        return have(self.spec.get(key, default), kind, f"{self.where}.{key}")

    def reading(self, language: str | None = None) -> Reading:
        """Return the facts, as far as they hold for the page's part of a language."""
        found = Reading(self.name, language)
        found.add("endpoint", self.name)
        title = have(self.source.get("title", {}), dict, f"{self.where}.x-source.title").get(language)
        if title:
            found.add("title", str(title))
        found.add("security type", str(self.spec.get("x-security-type", "NONE")))
        if "x-lifetime-minutes" in self.spec:
            found.add("lifetime", f"{self.spec['x-lifetime-minutes']}")
        self.weight(found)
        self.parameters(found)
        self.answer(found, language)
        return found

    def weight(self, found: Reading) -> None:
        """Add the weight, by our name or the vendor's."""
        ours = self.get("x-request-weight", (dict, list), {})
        theirs = [
            {"weight": self.spec[f"x-{scope}-weight"], "scope": scope}
            for scope in ("ip", "uid")
            if f"x-{scope}-weight" in self.spec
        ]
        for each in [*(ours if isinstance(ours, list) else [ours]), *theirs]:
            cost = have(each, dict, f"{self.where}.x-request-weight")
            rows = [figures(row) for row in cost.get("table", [])]
            if rows or "weight" in cost:
                found.add("weight", "; ".join(rows) or str(cost["weight"]))
                found.add("weight counted per", str(cost.get("scope", "none")))

    def parameters(self, found: Reading) -> None:
        """Add the parameters. The API key is one in the vendor's file, and a security scheme in ours."""
        for i, parameter in enumerate(self.get("parameters", list, [])):
            where = f"{self.where}.parameters[{i}]"
            name = str(have(parameter, dict, where).get("name"))
            schema = have(parameter.get("schema", {}), dict, f"{where}.schema")
            if parameter.get("in") == "header" and name.upper().endswith("APIKEY"):
                found.add("api key", f"header {name}")
                continue
            found.add(
                f"parameter {name}", f"{type_of(schema)}, {'required' if parameter.get('required') else 'optional'}"
            )
            if values := schema.get("enum"):
                found.add(f"values of {name}", ", ".join(sorted(map(str, values))))
        for scheme in self.get("security", list, []):
            for name in have(scheme, dict, f"{self.where}.security"):
                header = have(self.schemes.get(name, {}), dict, f"securitySchemes.{name}")
                found.add("api key", f"{header.get('in')} {header.get('name')}")

    def answer(self, found: Reading, language: str | None) -> None:
        """Add the fields of the answer: those of the examples in this language; without one, the schema's."""
        answers = self.get("responses", dict, None)
        for status in answers:
            have(status, str, f"{self.where}.responses: put {status} in quotes")
        good = next((key for key in answers if key[:1] == "2"), "no 2XX")
        where = f"{self.where}.responses.{good}"
        content = have(have(answers.get(good, {}), dict, where).get("content", {}), dict, f"{where}.content")
        media = next(iter(content.values()), None)
        if media is None:
            found.add("answer", "no body")
            return
        where = f"{self.where}.responses.content"
        types = field_types(have(media, dict, where).get("schema", {}), f"{where}.schema")
        shown = [media["example"]] if "example" in media else []
        for name, example in have(media.get("examples", {}), dict, f"{where}.examples").items():
            if have(example, dict, f"{where}.examples.{name}").get("x-language", language) == language:
                shown.append(example.get("value"))
        seen = [pair for value in shown if language for pair in examples.fields(examples.shape_of(value))]
        if not seen:
            seen = [(path, kind) for path, kinds in types.items() for kind in kinds]
        for path, kind in seen:
            for one in types.get(path) or {kind}:
                found.add(f"field {path}" if path else "answer", one)


def operations(root: dict[str, Any], name: str) -> list[Operation]:
    """Return a document's operations, in its own order.

    Raises:
        DocumentError: the document is in no state to be compared.

    """
    found = []
    parts = have(root.get("components", {}), dict, f"{name}: components")
    schemes = have(parts.get("securitySchemes", {}), dict, f"{name}: securitySchemes")
    for path, item in have(root.get("paths"), dict, f"{name}: paths").items():
        shared = have(item, dict, f"{name}: {path}").get("parameters", [])
        for method, spec in item.items():
            where = f"{name}: {str(method).upper()} {path}"
            if str(method).upper() in METHODS:
                spec = resolve(have(spec, dict, where), root, where)
                own = have(spec.get("parameters", []), list, f"{where}.parameters")
                merged = {**spec, "parameters": [*resolve(have(shared, list, where), root, where), *own]}
                found.append(Operation(f"{method.upper()} {path}", where, merged, schemes))
    return found
