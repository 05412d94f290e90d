"""asyncapi.yaml holds by its official JSON Schema, by Spectral and by the generator; each planted fault is found."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from generate import events
from ruamel.yaml import YAML

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".cache" / "node" / "node_modules"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(ROOT / "asyncapi.yaml")


def channel(d: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = d["channels"]["userData"]
    return found


def operation(d: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = d["operations"]["receiveUserData"]
    return found


def message(d: dict[str, Any], name: str = "accountUpdate") -> dict[str, Any]:
    found: dict[str, Any] = d["components"]["messages"][name]
    return found


def example(d: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = message(d, name)["examples"][0]["payload"]
    return found


def schema(d: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = d["components"]["schemas"][name]
    return found


FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda d: d.update(asyncapi="2.6.0"),
    "no info": lambda d: d.pop("info"),
    "no title": lambda d: d["info"].pop("title"),
    "no version": lambda d: d["info"].pop("version"),
    "id is no URI": lambda d: d.update(id="user data"),
    "misspelt section": lambda d: d.update(chanels=d.pop("channels")),
    "server without a protocol": lambda d: d["servers"]["demo"].pop("protocol"),
    "server without a host": lambda d: d["servers"]["demo"].pop("host"),
    "address in a server of AsyncAPI 2": lambda d: d["servers"]["demo"].update(url="wss://demo-fstream.binance.com"),
    "channel without the parameter of its address": lambda d: channel(d).pop("parameters"),
    "parameter that the address does not name": lambda d: channel(d)["parameters"].update(other={"description": "x"}),
    "misspelt keyword of a channel": lambda d: channel(d).update(adress="/ws"),
    "channel of a server that is not there": lambda d: channel(d)["servers"].append({"$ref": "#/servers/gone"}),
    "unknown action": lambda d: operation(d).update(action="subscribe"),
    "no action": lambda d: operation(d).pop("action"),
    "no channel": lambda d: operation(d).pop("channel"),
    "no description": lambda d: operation(d).pop("description"),
    "message that the channel does not have": lambda d: channel(d)["messages"].pop("greekUpdate"),
    "message that is not there": lambda d: d["components"]["messages"].pop("greekUpdate"),
    "payload that is not there": lambda d: message(d)["payload"].update({"$ref": "#/components/schemas/Gone"}),
    "misspelt keyword of a message": lambda d: message(d).update(sumary="x"),
    "examples is no list": lambda d: message(d).update(examples=message(d)["examples"][0]),
    "example without payload": lambda d: message(d)["examples"][0].pop("payload"),
    "example without a required field": lambda d: example(d, "orderTradeUpdate")["o"].pop("S"),
    "example whose number is a string": lambda d: example(d, "accountUpdate").update(E="1774602000412"),
    "example whose decimal is a number": lambda d: example(d, "greekUpdate")["G"][0].update(d=-0.17),
    "example of another event": lambda d: example(d, "riskLevelChange").update(e="GREEK_UPDATE"),
    "example whose list is an object": lambda d: example(d, "balancePositionUpdate").update(B={}),
    "example whose flag is a string": lambda d: example(d, "orderTradeUpdate")["o"].update(m="true"),
    "misspelt type": lambda d: schema(d, "Order")["properties"]["i"].update(type="int"),
    "required is no list": lambda d: schema(d, "Balance").update(required="a"),
    "properties is a list": lambda d: schema(d, "Balance").update(properties=["a"]),
    "schema that nobody uses": lambda d: d["components"]["schemas"].update(Spare={"type": "object"}),
    "binding of no known shape": lambda d: channel(d)["bindings"]["ws"].update(method="PUT"),
}


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    file = MODULES / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    assert file.exists(), "the schema is not installed: run `make lint-spec`"
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    return jsonschema.Draft7Validator(json.loads(file.read_text(encoding="utf-8")), format_checker=checker)


def planted() -> dict[str, dict[str, Any]]:
    documents = {"none": DOCUMENT}
    for name, plant in FAULTS.items():
        documents[name] = copy.deepcopy(DOCUMENT)
        plant(documents[name])
        assert documents[name] != DOCUMENT, name
    return documents


def refusals(document: dict[str, Any]) -> set[str]:
    try:
        events.sources(document)
    except events.UnusableDocument as error:
        return {str(error)}
    return set()


@pytest.fixture(scope="module")
def problems(
    official: jsonschema.Draft7Validator, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, set[str]]]:
    """By the name of a fault (or "none"): what the official schema, Spectral and the generator say."""
    folder = tmp_path_factory.mktemp("planted")
    found: dict[str, dict[str, set[str]]] = {}
    names = {}
    for i, (name, document) in enumerate(planted().items()):
        found[name] = {"schema": {e.json_path for e in official.iter_errors(document)}, "spectral": set()}
        found[name]["generator"] = refusals(document)
        names[f"{i}.yaml"] = name
        YAML(typ="safe").dump(document, folder / f"{i}.yaml")
    command = [str(MODULES / ".bin" / "spectral"), "lint", *(str(folder / name) for name in names), "--format", "json"]
    command += ["--ruleset", str(ROOT / "tools/lint/spectral.yaml")]
    run = subprocess.run([*command, "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False)
    for row in json.loads(run.stdout):
        found[names[Path(row["source"]).name]]["spectral"].add(row["code"])
    return found


def test_the_document_has_no_problem(problems: dict[str, dict[str, set[str]]]) -> None:
    assert problems["none"] == {"schema": set(), "spectral": set(), "generator": set()}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found(problems: dict[str, dict[str, set[str]]], fault: str) -> None:
    assert any(problems[fault].values())


def test_the_official_schema_alone_finds_what_breaks_asyncapi(problems: dict[str, dict[str, set[str]]]) -> None:
    assert sum(bool(found["schema"]) for found in problems.values()) >= 15


@pytest.mark.parametrize("finder", ["spectral", "generator"])
def test_the_schema_does_not_find_all(problems: dict[str, dict[str, set[str]]], finder: str) -> None:
    assert any(found[finder] and not found["schema"] for found in problems.values())
