"""Write build/reference.html: both documents as one page for people, readable offline (swagger-ui, all inlined)."""

import html
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / ".cache" / "node" / "node_modules" / "swagger-ui-dist"
PAGE = ROOT / "build" / "reference.html"

# The policy forbids the page every request, whatever swagger-ui may come to do. No "try it out": it would send a real
# API key from a file that somebody was mailed.
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="reference"></div>
<div id="events"></div>
<script>{script}</script>
<script>
for (const [place, spec] of [["#reference", {document}], ["#events", {events}]]) SwaggerUIBundle({{
  dom_id: place, spec: spec, docExpansion: "full", defaultModelsExpandDepth: 2,
  supportedSubmitMethods: [], validatorUrl: null, showExtensions: true
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


def embedded(document: Mapping[str, Any]) -> str:
    """Write a document so that it can stand in a page's script."""
    return json.dumps(document, ensure_ascii=False).replace("</", "<\\/")


def main() -> int:
    """Put the parts together."""
    document = YAML(typ="safe").load(ROOT / "openapi.yaml")
    events = YAML(typ="safe").load(ROOT / "asyncapi.yaml")
    text = TEMPLATE.format(
        title=html.escape(f"{document['info']['title']} {document['info']['version']}"),
        style=(UI / "swagger-ui.css").read_text(encoding="utf-8"),
        script=(UI / "swagger-ui-bundle.js").read_text(encoding="utf-8").replace("</script", "<\\/script"),
        document=embedded(document),
        events=embedded(as_webhooks(events)),
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(text.encode()) / 1e6:.1f} MB, one file, for any browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
