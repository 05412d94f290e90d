"""Draw the three documents on a page of the site, with Redoc inside the page. docs/decisions.md has the reasons."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REDOC = ROOT / ".cache" / "node" / "node_modules" / "redoc" / "bundles" / "redoc.standalone.js"
DOCUMENTS = ("openapi.yaml", "account.yaml", "asyncapi.yaml")
HIDDEN = {"security", "securitySchemes"}  # the overview explains the API key in a sentence


def one_document(calls: Mapping[str, Any], snapshot: Mapping[str, Any], events: Mapping[str, Any]) -> dict[str, Any]:
    """Put the events beside the calls, as webhooks of OpenAPI 3.1, because Redoc does not know AsyncAPI."""
    servers = [f"`{each['protocol']}://{each['host']}{each['pathname']}`" for each in events["servers"].values()]
    channel = events["channels"]["userData"]
    forms = [f"- `{each['address']}` {each.get('description', '')}" for each in channel["x-forms"].values()]
    where = f"At {' and '.join(servers)}, in one of these forms:\n\n" + "\n".join(forms)
    about = "\n\n".join([events["info"]["description"], channel["description"], where])
    messages = events["components"]["messages"].values()
    return {
        **calls,
        "openapi": "3.1.0",
        "tags": [*calls["tags"], *snapshot["tags"], {"name": "Events", "description": about}],
        "paths": calls["paths"] | snapshot["paths"],
        "components": joined(calls, snapshot, {"components": {"schemas": events["components"]["schemas"]}}),
        "webhooks": {message["name"]: {"post": webhook(message)} for message in messages},
    }


def joined(*documents: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Put the components of documents together. Two components of one kind must not have the same name."""
    kinds: dict[str, dict[str, Any]] = {}
    for document in documents:
        for kind, components in document["components"].items():
            known = kinds.setdefault(kind, {})
            if twice := known.keys() & components.keys():
                raise SystemExit(f"tools/pages/documents.py: two {kind} have the name {', '.join(twice)}")
            known.update(components)
    return kinds


def webhook(message: Mapping[str, Any]) -> dict[str, Any]:
    """Write an event as a webhook."""
    examples = {each["name"]: {"value": each["payload"]} for each in message["examples"]}
    return {
        "operationId": message["name"],
        "summary": message["name"],
        "description": f"{message['title']}. {message['summary']} Comes as a frame of the WebSocket.",
        "tags": ["Events"],
        "requestBody": {"content": {"application/json": {"schema": message["payload"], "examples": examples}}},
        "responses": {},
    }


def public(node: Any) -> Any:
    """Leave out the keys `x-…` of this project's tools. Say in words what the keys tell of a field."""
    if isinstance(node, list):
        return [public(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: public(value) for key, value in node.items() if not str(key).startswith("x-") and key not in HIDDEN}
    told = " ".join(words(node))
    return {**kept, "description": told} if told else kept


def words(node: Mapping[str, Any]) -> list[str]:
    """Describe a field: the name, the description, the unit, the documented values."""
    told = [f"`{node['x-name']}`:"] if "x-name" in node else []
    told += [public(node["description"])] if "description" in node else []
    if unit := node.get("x-unit"):
        told.append("Milliseconds since 1970-01-01 00:00 UTC." if unit == "ms" else f"In {unit}.")
    if values := node.get("x-documented-values"):
        told.append(f"Documented: {', '.join(f'`{value}`' for value in values)}. Others may come.")
    return told


def page(calls: Mapping[str, Any], snapshot: Mapping[str, Any], events: Mapping[str, Any]) -> str:
    """Write the page of the documents."""
    first = next(call for methods in calls["paths"].values() for call in methods.values())
    templates = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("documents.html.jinja").render(
        calls=calls,
        snapshot=snapshot,
        events=events,
        refusals=[status for status in first["responses"] if status not in ("200", "default")],
        document=json.dumps(public(one_document(calls, snapshot, events)), ensure_ascii=False).replace("</", "<\\/"),
        redoc=REDOC.read_text(encoding="utf-8").replace("</script", "<\\/script"),
    )


def write(target: Path) -> None:
    """Write the page to a file."""
    text = page(*(YAML(typ="safe").load(ROOT / name) for name in DOCUMENTS))
    target.write_text(text, encoding="utf-8")
