"""Write the reference, readable offline: build/reference.html and build/python/.

reference.html is both documents as one page (swagger-ui, all inlined); python/ is the package by its docstrings (pdoc).
"""

import html
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / ".cache" / "node" / "node_modules" / "swagger-ui-dist"
PAGE = ROOT / "build" / "reference.html"
PACKAGE = ROOT / "build" / "python"
MODULES = ["listenkey", "listenkey.stream", "listenkey.sandbox"]

# The policy forbids the page every request, whatever swagger-ui may come to do. No "try it out" and no field for an API
# key: the page would send a real one from a file that somebody was mailed.
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}
body {{ margin: 0; font: 16px/1.5 sans-serif; color: #3b4151; overflow-wrap: anywhere; }}
#overview {{ max-width: 1420px; margin: auto; padding: 16px 20px; box-sizing: border-box; }}
#overview h1 {{ margin: 0; font-size: 26px; line-height: 1.2; }}
#overview h2 {{ margin: 16px 0 0; font-size: 18px; }}
#overview td {{ padding: 4px 16px 4px 0; vertical-align: top; }}
.swagger-ui pre, .swagger-ui table, .swagger-ui code {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
#overview code {{ overflow-wrap: normal; }}
/* On a phone the tables of swagger-ui stand as lists: one cell below the other. */
@media (max-width: 700px) {{
  #overview td {{ display: block; }}
  .swagger-ui .opblock-tag small {{ display: none; }}
  .swagger-ui .wrapper, .swagger-ui .opblock-body, .swagger-ui .info {{ padding: 0 8px; margin: 0; }}
  .swagger-ui .opblock .opblock-summary-path, .swagger-ui .opblock .opblock-summary {{
    max-width: 100%; flex-wrap: wrap; }}
  .swagger-ui table.responses-table, .swagger-ui table.responses-table > * ,
  .swagger-ui table.responses-table > * > tr, .swagger-ui table.responses-table > * > tr > td {{
    display: block; width: auto; max-width: 100%; }}
  .swagger-ui table.responses-table > tbody > tr > td {{ padding: 4px 0; }}
  .swagger-ui .model-box, .swagger-ui .model, .swagger-ui section.models {{ max-width: 100%; overflow-wrap: anywhere; }}
}}
</style>
</head>
<body>
<main id="overview">{overview}</main>
<div id="reference"></div>
<div id="events"></div>
<script>{script}</script>
<script>
for (const [place, spec] of [["#reference", {document}], ["#events", {events}]]) SwaggerUIBundle({{
  dom_id: place, spec: spec, docExpansion: "full", defaultModelsExpandDepth: 2,
  supportedSubmitMethods: [], validatorUrl: null
}});
</script>
</body>
</html>
"""


def as_webhooks(document: Mapping[str, Any]) -> dict[str, Any]:
    """Put the events into the words of OpenAPI 3.1: swagger-ui knows no AsyncAPI, and webhooks come nearest."""
    servers = [f"`{each['protocol']}://{each['host']}{each['pathname']}`" for each in document["servers"].values()]
    channel = document["channels"]["userData"]
    forms = [f"- `{each['address']}` {each.get('description', '')}" for each in channel["x-forms"].values()]
    where = f"At {' and '.join(servers)}, in one of these forms:\n\n" + "\n".join(forms)
    info = document["info"]
    return {
        "openapi": "3.1.0",
        "info": {**info, "description": "\n\n".join([info["description"], channel["description"], where])},
        "webhooks": {
            message["name"]: {
                "post": {
                    "summary": message["title"],
                    "description": f"{message['summary']} Comes as a frame of the WebSocket.",
                    "tags": ["Events"],
                    "requestBody": {
                        "content": {
                            "application/json": {
                                "schema": message["payload"],
                                "examples": {each["name"]: {"value": each["payload"]} for each in message["examples"]},
                            }
                        }
                    },
                    "responses": {},
                }
            }
            for message in document["components"]["messages"].values()
        },
        "components": {"schemas": document["components"]["schemas"]},
    }


def public(node: Any) -> Any:
    """Leave out what only this project's tools read (x-…), and the API key's scheme: swagger-ui would ask for a key.

    What an extension tells a reader of a field stays, in words: its name, its unit, the values that the pages list.
    """
    if isinstance(node, list):
        return [public(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    kept = {
        key: public(value)
        for key, value in node.items()
        if not str(key).startswith("x-") and key not in ("security", "securitySchemes")
    }
    words = [f"`{node['x-name']}`:"] if "x-name" in node else []
    words += [kept["description"]] if "description" in kept else []
    if unit := node.get("x-unit"):
        words.append("Milliseconds since 1970-01-01 00:00 UTC." if unit == "ms" else f"In {unit}.")
    if values := node.get("x-documented-values"):
        words.append(f"Documented: {', '.join(f'`{value}`' for value in values)}. Others may come.")
    return {**kept, "description": " ".join(words)} if words else kept


def overview(document: Mapping[str, Any], events: Mapping[str, Any]) -> str:
    """Write the first screen: the calls and the events, each in a line."""
    calls = [
        (
            f"<code>{method.upper()} {path}</code>",
            f"{html.escape(call['summary'])}; weight {call['x-request-weight']['weight']}",
        )
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]
    messages = [
        (f"<code>{each['name']}</code>", html.escape(each["title"]))
        for each in events["components"]["messages"].values()
    ]
    tables = [
        "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows) for rows in (calls, messages)
    ]
    info = document["info"]
    return (
        f"<h1>{html.escape(info['title'])} {info['version']}</h1>"
        "<p>A call needs the API key in the header <code>X-MBX-APIKEY</code>, and no signature. "
        "The Python package: <a href='python/listenkey.html'>listenkey</a>.</p>"
        f"<h2><a href='#reference'>Calls</a></h2><table>{tables[0]}</table>"
        f"<h2><a href='#events'>Events</a></h2><table>{tables[1]}</table>"
    )


def embedded(document: Mapping[str, Any]) -> str:
    """Write a document so that it can stand in a page's script."""
    return json.dumps(public(document), ensure_ascii=False).replace("</", "<\\/")


def main() -> int:
    """Put the parts together."""
    document = YAML(typ="safe").load(ROOT / "openapi.yaml")
    events = YAML(typ="safe").load(ROOT / "asyncapi.yaml")
    text = TEMPLATE.format(
        title=html.escape(f"{document['info']['title']} {document['info']['version']}"),
        style=(UI / "swagger-ui.css").read_text(encoding="utf-8"),
        script=(UI / "swagger-ui-bundle.js").read_text(encoding="utf-8").replace("</script", "<\\/script"),
        overview=overview(document, events),
        document=embedded(document),
        events=embedded(as_webhooks(events)),
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(text.encode()) / 1e6:.1f} MB, one file, for any browser")
    options: list[str | Path] = [
        "--docformat",
        "google",
        "--no-show-source",
        "--no-search",
        "--template-directory",
        ROOT / "tools" / "pdoc",
    ]
    done = subprocess.run(["pdoc", *MODULES, *options, "--output-directory", PACKAGE], check=False)
    print(f"{PACKAGE.relative_to(ROOT)}/: {', '.join(MODULES)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
