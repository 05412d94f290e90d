"""docs/many-accounts.md: examples/shard.py in real processes, examples/kubernetes.yaml by the schema of Kubernetes."""

import copy
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from listenkey.sandbox import Sandbox

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
shard_of: Callable[[str, int], int] = runpy.run_path(str(EXAMPLES / "shard.py"))["shard_of"]
ACCOUNTS = [f"account-{number}" for number in range(1000)]


def manifest() -> dict[str, Any]:
    return cast(dict[str, Any], YAML(typ="safe").load((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")))


def container(stateful_set: dict[str, Any]) -> dict[str, Any]:
    (only,) = stateful_set["spec"]["template"]["spec"]["containers"]
    return cast(dict[str, Any], only)


def valid(stateful_set: dict[str, Any]) -> None:
    kubernetes_validate.validate(stateful_set, "1.37", strict=True)


def test_the_manifest_is_valid() -> None:
    valid(manifest())


def misspell(stateful_set: dict[str, Any]) -> None:
    container(stateful_set)["volumeMount"] = container(stateful_set).pop("volumeMounts")


def number_for_text(stateful_set: dict[str, Any]) -> None:
    container(stateful_set)["env"][0]["value"] = 3


def forget(stateful_set: dict[str, Any]) -> None:
    del stateful_set["spec"]["selector"]


@pytest.mark.parametrize("fault", [misspell, number_for_text, forget])
def test_the_schema_finds_a_fault(fault: Callable[[dict[str, Any]], None]) -> None:
    faulty = copy.deepcopy(manifest())
    fault(faulty)
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(faulty)


def test_the_manifest_runs_the_example(tmp_path: Path, listenkey_sandbox: Sandbox) -> None:
    only, replicas = container(manifest()), manifest()["spec"]["replicas"]
    shards = {variable["name"]: variable.get("value") for variable in only["env"]}["SHARDS"]
    assert shards == str(replicas)
    printed = [
        line
        for index in range(replicas)
        for line in run(
            [
                {"python": sys.executable, "$(INDEX)": str(index), "$(SHARDS)": shards}.get(word, word)
                for word in only["command"][:-1]
            ],
            accounts(tmp_path, ACCOUNTS[:30]),
            listenkey_sandbox,
            lines=sum(shard_of(account, replicas) == index for account in ACCOUNTS[:30]),
        )
    ]
    assert sorted(line.partition(":")[0] for line in printed) == sorted(ACCOUNTS[:30])
    assert all(re.fullmatch(r"account-\d+: listen to \w{6}…\n", line) for line in printed)
    assert [request.status for request in listenkey_sandbox.requests] == [200] * 30


def test_a_refused_account_is_alone(tmp_path: Path) -> None:
    good = {f"key-of-{account}": account for account in ACCOUNTS[:3]}
    with Sandbox(accounts=good) as sandbox:
        command = [sys.executable, "shard.py", "0", "1"]
        printed = run(command, accounts(tmp_path, ACCOUNTS[:4]), sandbox, lines=4)
    assert sum(": listen to" in line for line in printed) == 3
    (refused,) = [line for line in printed if ": listen to" not in line]
    assert refused.startswith("account-3: Invalid API-key, IP, or permissions")
    assert "key-of-account-3" not in refused


def accounts(folder: Path, names: list[str]) -> str:
    file = folder / "accounts.txt"
    file.write_text("".join(f"{name} key-of-{name}\n" for name in names), encoding="utf-8")
    return str(file)


def run(command: list[str], file: str, sandbox: Sandbox, lines: int) -> list[str]:
    """Run a shard until it has printed so many lines."""
    process = subprocess.Popen(
        [*command, file],
        cwd=EXAMPLES,
        env={**os.environ, "LISTENKEY_BASE_URL": sandbox.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        return [process.stdout.readline() for _ in range(lines)]
    finally:
        process.kill()
        process.communicate()


def test_a_new_shard_takes_its_part_and_moves_no_other_account() -> None:
    before = {account: shard_of(account, 4) for account in ACCOUNTS}
    after = {account: shard_of(account, 5) for account in ACCOUNTS}
    moved = [account for account in ACCOUNTS if before[account] != after[account]]
    assert {after[account] for account in moved} == {4}
    assert all(150 < size < 250 for size in Counter(after.values()).values())
