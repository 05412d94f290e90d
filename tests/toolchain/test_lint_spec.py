"""`make lint-spec` can fail: each fault, planted in a copy of the document, is found by one of its two linters."""

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
RULES = ROOT / "tools" / "lint"
TOOLS = ROOT / ".cache" / "node" / "node_modules" / ".bin"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(ROOT / "tests" / "pages" / "openapi.yaml")

FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no security": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].pop("security"),
    "unknown security scheme": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(security=[{"Other": []}]),
    "no operationId": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].pop("operationId"),
    "operationId twice": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(operationId="closeUserDataStream"),
    "no summary": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].pop("summary"),
    "undeclared tag": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(tags=["Other"]),
    "no tag": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].pop("tags"),
    "misspelt keyword": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(sumary="x"),
    "unknown method": lambda d: d["paths"]["/eapi/v1/listenKey"].update(pots={}),
    "no responses": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(responses={}),
    "no refusals": lambda d: [
        d["paths"]["/eapi/v1/listenKey"]["put"]["responses"].pop(s) for s in ("418", "429", "4XX")
    ],
    "impossible status": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"]["responses"].update(
        {"20O": {"description": "x"}}
    ),
    "response without description": lambda d: d["components"]["responses"]["Banned"].pop("description"),
    "dangling reference": lambda d: d["components"]["responses"]["Banned"]["headers"].update(
        {"Retry-After": {"$ref": "#/components/headers/Gone"}}
    ),
    "unused schema": lambda d: d["components"]["schemas"].update(
        Spare={"type": "object", "description": "x", "example": {}}
    ),
    "example of the wrong type": lambda d: answer(d)["withExpiration"]["value"].update(expiration="1762855900452"),
    "example without a required field": lambda d: answer(d)["withoutExpiration"]["value"].pop("listenKey"),
    "example of an error of the wrong type": lambda d: d["components"]["responses"]["Banned"]["content"][
        "application/json"
    ]["example"].update(code="-1008"),
    "schema's example of the wrong type": lambda d: field(d, "expiration").update(example="soon"),
    "header's example of the wrong type": lambda d: d["components"]["headers"]["RetryAfter"].update(example="soon"),
    "example and examples at once": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"]["responses"]["200"]["content"][
        "application/json"
    ].update(example={"listenKey": "x"}),
    "misspelt type": lambda d: field(d, "expiration").update(type="intger"),
    "required is no list": lambda d: d["components"]["schemas"]["ListenKeyResponse"].update(required="listenKey"),
    "required field that is not defined": lambda d: d["components"]["schemas"]["ListenKeyResponse"].update(
        required=["key"]
    ),
    "enum of another type": lambda d: field(d, "expiration").update(enum=["a", "b"]),
    "array without items": lambda d: field(d, "expiration").update(type="array"),
    "bad pattern of bounds": lambda d: field(d, "listenKey").update(minLength=-1),
    "parameter of the path not declared": lambda d: d["paths"].update(
        {"/eapi/v1/{id}": d["paths"].pop("/eapi/v1/listenKey")}
    ),
    "path with a slash at its end": lambda d: d["paths"].update(
        {"/eapi/v1/listenKey/": d["paths"].pop("/eapi/v1/listenKey")}
    ),
    "query in the path": lambda d: d["paths"].update({"/eapi/v1/listenKey?a=1": d["paths"].pop("/eapi/v1/listenKey")}),
    "two paths alike": lambda d: d["paths"].update(
        {"/eapi/v1/{a}": {"parameters": [parameter("a")]}, "/eapi/v1/{b}": {"parameters": [parameter("b")]}}
    ),
    "parameter in no known place": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(
        parameters=[parameter("a") | {"in": "body"}]
    ),
    "a parameter twice": lambda d: d["paths"]["/eapi/v1/listenKey"]["post"].update(
        parameters=[parameter("a") | {"in": "query"}, parameter("a") | {"in": "query"}]
    ),
    "no version": lambda d: d["info"].pop("version"),
    "no licence": lambda d: d["info"].pop("license"),
    "no contact": lambda d: d["info"].pop("contact"),
    "no servers": lambda d: d.pop("servers"),
    "server of an example": lambda d: d["servers"][0].update(url="https://example.com"),
    "server with a slash at its end": lambda d: d["servers"][0].update(url="https://eapi.binance.com/"),
    "security scheme without its header": lambda d: d["components"]["securitySchemes"]["ApiKey"].pop("name"),
    "a space in a component's name": lambda d: d["components"]["schemas"].update(
        {"Binance Error": d["components"]["schemas"]["BinanceError"]}
    ),
}


def answer(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["examples"]
    return found


def field(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"]["ListenKeyResponse"]["properties"][name]
    return found


def parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "x",
        "schema": {"type": "string"},
        "example": "x",
    }


def lint(*command: str | Path) -> list[Any]:
    """Run a linter and return the JSON values it prints: redocly prints one for each file."""
    assert (TOOLS / "redocly").exists(), "the linters are not installed: run `make lint-spec`"
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    command = (TOOLS / command[0], *command[1:])
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    values, rest = [], run.stdout.strip()
    while rest:
        value, end = json.JSONDecoder().raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    assert values, run.stderr
    return values


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """By the name of a fault (or "none"): what each linter says. One run of each linter for all copies."""
    folder = tmp_path_factory.mktemp("planted")
    names = {"none.yaml": "none"}
    YAML(typ="safe").dump(DOCUMENT, folder / "none.yaml")
    for i, (name, plant) in enumerate(FAULTS.items()):
        document = copy.deepcopy(DOCUMENT)
        plant(document)
        assert document != DOCUMENT, name
        names[f"{i}.yaml"] = name
        YAML(typ="safe").dump(document, folder / f"{i}.yaml")
    found: dict[str, dict[str, set[str]]] = {name: {"redocly": set(), "spectral": set()} for name in names.values()}
    files = [folder / name for name in names]
    reports = lint(
        "redocly", "lint", *files, "--config", RULES / "redocly.yaml", "--format", "json", "--max-problems", "1000"
    )
    for file, report in zip(files, reports, strict=True):
        found[names[file.name]]["redocly"] = {problem["ruleId"] for problem in report["problems"]}
    [rows] = lint("spectral", "lint", *files, "--ruleset", RULES / "spectral.yaml", "--format", "json", "--quiet")
    for row in rows:
        found[names[Path(row["source"]).name]]["spectral"].add(row["code"])
    return found


def test_a_copy_without_a_fault_has_no_problem(problems: dict[str, dict[str, set[str]]]) -> None:
    assert problems["none"] == {"redocly": set(), "spectral": set()}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found(problems: dict[str, dict[str, set[str]]], fault: str) -> None:
    assert problems[fault]["redocly"] | problems[fault]["spectral"]


def test_each_linter_is_needed(problems: dict[str, dict[str, set[str]]]) -> None:
    for linter in ("redocly", "spectral"):
        assert any(
            found[linter] and not any(found[other] for other in found if other != linter) for found in problems.values()
        )
