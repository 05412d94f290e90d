"""Write the reference, readable offline: build/reference.html and build/python/.

reference.html is both documents as one page (Redoc, all inlined); python/ is the package by its docstrings (pdoc).
"""

import html
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
REDOC = ROOT / ".cache" / "node" / "node_modules" / "redoc" / "bundles" / "redoc.standalone.js"
PAGE = ROOT / "build" / "reference.html"
PACKAGE = ROOT / "build" / "python"
MODULES = ["listenkey", "listenkey.stream", "listenkey.sandbox"]

# The policy forbids the page every request, whatever Redoc may come to do. Redoc sends no call, and asks for no
# API key. Its search is off: it needs a worker, which the policy forbids.
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
body {{ margin: 0; font: 16px/1.5 sans-serif; color: #333; }}
#overview {{ max-width: 60rem; margin: auto; padding: 16px; overflow-wrap: anywhere; }}
#overview h1 {{ margin: 0; font-size: 26px; line-height: 1.2; }}
#overview h2 {{ margin: 16px 0 0; font-size: 18px; }}
#overview td {{ padding: 4px 16px 4px 0; vertical-align: top; }}
#overview code {{ overflow-wrap: normal; }}
#reference pre, #reference .redoc-json, #reference .redoc-json *, #reference .api-info span {{
  white-space: pre-wrap; overflow-wrap: anywhere; }}
#reference .api-info span {{ display: inline; }}
@media (max-width: 700px) {{ #overview td {{ display: block; padding: 0; }} }}
</style>
</head>
<body>
<main id="overview">{overview}</main>
<div id="reference"></div>
<script>{script}</script>
<script>
Redoc.init({document}, {{
  disableSearch: true, hideDownloadButtons: true, nativeScrollbars: true, expandResponses: "200,default",
  jsonSampleExpandLevel: "all", schemasExpansionLevel: "all"
}}, document.getElementById("reference"));
</script>
</body>
</html>
"""


def one_document(document: Mapping[str, Any], events: Mapping[str, Any]) -> dict[str, Any]:
    """Put the events beside the calls, in the words of OpenAPI 3.1: Redoc knows no AsyncAPI; webhooks come nearest."""
    servers = [f"`{each['protocol']}://{each['host']}{each['pathname']}`" for each in events["servers"].values()]
    channel = events["channels"]["userData"]
    forms = [f"- `{each['address']}` {each.get('description', '')}" for each in channel["x-forms"].values()]
    where = f"At {' and '.join(servers)}, in one of these forms:\n\n" + "\n".join(forms)
    about = "\n\n".join([events["info"]["description"], channel["description"], where])
    webhooks = {
        message["name"]: {
            "post": {
                "operationId": message["name"],
                "summary": message["name"],
                "description": f"{message['title']}. {message['summary']} Comes as a frame of the WebSocket.",
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
        for message in events["components"]["messages"].values()
    }
    schemas = document["components"]["schemas"] | events["components"]["schemas"]
    return {
        **document,
        "openapi": "3.1.0",
        "tags": [*document["tags"], {"name": "Events", "description": about}],
        "components": {**document["components"], "schemas": schemas},
        "webhooks": webhooks,
    }


def public(node: Any) -> Any:
    """Leave out what only this project's tools read (x-…), and the API key's scheme.

    The overview tells of the API key in a sentence. What an extension tells a reader of a field stays, in words: its
    name, its unit, the values that the pages list.
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
    """Write the first screen: the calls and the events, each in a line, and where errors are told."""
    calls = [
        (
            f"<a href='#operation/{call['operationId']}'><code>{method.upper()} {path}</code></a>",
            f"{html.escape(call['summary'])}; weight {call['x-request-weight']['weight']}",
        )
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]
    messages = [
        (f"<a href='#operation/{each['name']}'><code>{each['name']}</code></a>", html.escape(each["title"]))
        for each in events["components"]["messages"].values()
    ]
    tables = [
        "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows) for rows in (calls, messages)
    ]
    first = next(call for methods in document["paths"].values() for call in methods.values())
    statuses = ", ".join(f"<code>{status}</code>" for status in first["responses"] if status not in ("200", "default"))
    info = document["info"]
    return (
        f"<h1>{html.escape(info['title'])} {info['version']}</h1>"
        "<p>A call needs the API key in the header <code>X-MBX-APIKEY</code>, and no signature. "
        "The Python package: <a href='python/listenkey.html'>listenkey</a>.</p>"
        f"<h2>Calls</h2><table>{tables[0]}</table>"
        f"<p>Errors stand under each call, with Binance's codes as examples: {statuses} and others.</p>"
        f"<h2><a href='#tag/Events'>Events</a></h2><table>{tables[1]}</table>"
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
        script=REDOC.read_text(encoding="utf-8").replace("</script", "<\\/script"),
        overview=overview(document, events),
        document=embedded(one_document(document, events)),
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
