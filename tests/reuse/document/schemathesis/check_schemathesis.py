"""The sandbox against the document: schemathesis finds no fault in it, and finds the faults that are planted."""

import os
import re
import subprocess
import sys
import urllib.request
from typing import Any

from listenkey.sandbox import Sandbox

API_KEY = "made-up-api-key"
START, KEEPALIVE, CLOSE = "startUserDataStream", "keepaliveUserDataStream", "closeUserDataStream"
# Operation, state, and the status that the sandbox must have answered to the first call with the key.
STATES = [
    (START, "no key yet", 200),
    (KEEPALIVE, "no key yet", 400),
    (CLOSE, "no key yet", 400),
    (START, "key alive", 200),
    (KEEPALIVE, "key alive", 200),
    (CLOSE, "key alive", 200),
]
# What is planted, where, as a fault of the sandbox, and the title under which schemathesis must report it.
PLANTED: list[tuple[str, str, dict[str, Any], str]] = [
    ("a null key", START, {"body": {"listenKey": None}}, "Response violates schema"),
    ("an empty key", START, {"body": {"listenKey": ""}}, "Response violates schema"),
    ("no key", START, {"body": {}}, "Response violates schema"),
    ("a text for expiration", START, {"body": {"listenKey": "x", "expiration": "1"}}, "Response violates schema"),
    ("an error without code", CLOSE, {"status": 400, "body": {"msg": "no"}}, "Response violates schema"),
    ("cut JSON", START, {"body": '{"listenKey":'}, "JSON deserialization error"),
    (
        "an HTML error",
        KEEPALIVE,
        {"status": 400, "headers": {"Content-Type": "text/html"}},
        "Undocumented Content-Type",
    ),
    ("an unknown status", KEEPALIVE, {"status": 202, "body": {}}, "Undocumented status code"),
    ("a server error", CLOSE, {"status": 500, "body": {"code": -1000, "msg": "no"}}, "Server error"),
]


def schemathesis(sandbox: Sandbox, operation: str) -> subprocess.CompletedProcess[str]:
    options = ["--checks", "all", "--generation-deterministic", "--include-operation-id", operation]
    return subprocess.run(
        ["schemathesis", "run", "openapi.yaml", *options],
        env=os.environ | {"BASE_URL": sandbox.url, "BINANCE_API_KEY": API_KEY},
        capture_output=True,
        text=True,
        check=False,
    )


def report(passed: bool, case: str, run: subprocess.CompletedProcess[str]) -> bool:
    number = re.search(r"(\d+) generated", run.stdout)
    print("ok:" if passed else f"error: {case}\n{run.stdout}{run.stderr}\n", case, f"{number and number[1]} cases")
    return passed


def finds_no_fault(operation: str, state: str, first: int) -> bool:
    with Sandbox(accounts={API_KEY: "account"}, limit=None) as sandbox:
        if state == "key alive":
            url = f"{sandbox.url}/eapi/v1/listenKey"
            urllib.request.urlopen(urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": API_KEY}))
        before = len(sandbox.requests)
        run = schemathesis(sandbox, operation)
        method = {START: "POST", KEEPALIVE: "PUT", CLOSE: "DELETE"}[operation]
        seen = [r.status for r in sandbox.requests[before:] if r.method == method and r.with_key]
    return report(run.returncode == 0 and first in seen, f"{operation}, {state}", run)


def finds(what: str, operation: str, fault: dict[str, Any], title: str) -> bool:
    with Sandbox(accounts={API_KEY: "account"}, limit=None) as sandbox:
        sandbox.faults.add("status", times=None, **fault)
        run = schemathesis(sandbox, operation)
    return report(run.returncode == 1 and title in run.stdout, f"{what} is found", run)


def finds_that_any_key_is_taken() -> bool:
    with Sandbox(limit=None) as sandbox:
        run = schemathesis(sandbox, START)
    return report(
        run.returncode == 1 and "API accepts invalid authentication" in run.stdout, "any key taken is found", run
    )


def main() -> int:
    passed = [finds_no_fault(*state) for state in STATES]
    passed += [finds(*planted) for planted in PLANTED]
    return 0 if all([*passed, finds_that_any_key_is_taken()]) else 1


if __name__ == "__main__":
    sys.exit(main())
