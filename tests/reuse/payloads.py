"""Write events.json, the payloads of asyncapi.yaml as one JSON Schema, and examples.json, each example by its event.

With --ids-as-text an ID may also be a text: for a language whose numbers are 64-bit floats, which are exact up to 2⁵³.
"""

import json
import sys
from pathlib import Path

from ruamel.yaml import YAML

document = YAML(typ="safe").load(Path(__file__).parents[2] / "asyncapi.yaml")
components = json.loads(json.dumps(document["components"]).replace("#/components/schemas/", "#/definitions/"))
if "--ids-as-text" in sys.argv:
    for schema in components["schemas"].values():
        for field in schema["properties"].values():
            if field.get("format") == "int64" and field.get("x-unit") != "ms":
                field["type"] = ["integer", "string"]
messages = components["messages"].values()
events = {message["name"]: message["payload"] for message in messages}
schema = {"title": "Events", "type": "object", "properties": events, "definitions": components["schemas"]}
Path("events.json").write_text(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}))
examples = [{message["name"]: example["payload"]} for message in messages for example in message["examples"]]
Path("examples.json").write_text(json.dumps(examples))
