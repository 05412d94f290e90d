"""docs/many-accounts.md: examples/shard.py in real processes, examples/kubernetes.yaml by the schema of Kubernetes."""

import contextlib
import copy
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from listenkey.sandbox import Sandbox
from tests.repository.test_examples import FAST, end, line, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
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
    assert all(re.fullmatch(r"account-\d+: snapshot, because started\n", line) for line in printed)
    assert asked(listenkey_sandbox) == [200] * 30


def asked(sandbox: Sandbox) -> list[int | None]:
    """The answers to the calls that start a key."""
    return [request.status for request in sandbox.requests if request.method == "POST"]


def test_events_come_with_the_name_of_their_account(tmp_path: Path, listenkey_sandbox: Sandbox) -> None:
    with shard(listenkey_sandbox, accounts(tmp_path, ACCOUNTS[:2])) as process:
        assert {line(process) for _ in range(2)} == {f"{name}: snapshot, because started\n" for name in ACCOUNTS[:2]}
        listenkey_sandbox.balance("USDT", 5, account="key-of-account-1")
        assert [line(process) for _ in range(2)] == [
            "account-1: BalancePositionUpdate\n",
            "account-1: AccountUpdate\n",
        ]
        assert end(process, signal.SIGTERM)[0] == 0


def test_a_refused_account_delays_no_other_and_is_tried_again(tmp_path: Path, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", times=2, status=401, body={"code": -2015, "msg": "Invalid API-key."})
    with shard(listenkey_sandbox, accounts(tmp_path, ACCOUNTS[:4])) as process:
        assert {line(process).partition(":")[2] for _ in range(4)} == {" snapshot, because started\n"}
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=50)
        assert (process.returncode, out[-8:]) == (0, "stopped\n")
    assert "The next try is in " in errors
    assert "key-of-" not in errors
    assert asked(listenkey_sandbox)[:6].count(401) == 2


def test_a_shard_whose_accounts_are_all_refused_ends_with_a_failure(tmp_path: Path, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", times=None, status=401)
    with shard(listenkey_sandbox, accounts(tmp_path, ACCOUNTS[:4])) as process:
        out, errors = process.communicate(timeout=50)
    assert (process.returncode, out) == (1, "")
    assert errors.endswith(
        "Binance refuses every account: check the API keys, and the addresses that they are bound to.\n"
    )


def test_a_shard_starts_while_the_exchange_is_away(tmp_path: Path, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("reset", times=None)
    with shard(listenkey_sandbox, accounts(tmp_path, ACCOUNTS[:1])) as process:
        wait_for(process.stderr, "The next try is in ")
        wait_for(process.stderr, "The next try is in ")
        listenkey_sandbox.faults.clear()
        assert line(process) == "account-0: snapshot, because started\n"
        assert end(process, signal.SIGTERM)[0] == 0


def test_a_shard_without_accounts_runs(tmp_path: Path, listenkey_sandbox: Sandbox, free_port: int) -> None:
    port = str(free_port)
    with shard(listenkey_sandbox, accounts(tmp_path, []), HEALTH_PORT=port) as process:
        assert until_answered(port, "/ready") == 200
        assert end(process, signal.SIGTERM) == (0, "stopped\n", "")


def test_the_probes_of_the_manifest_tell_the_truth(tmp_path: Path, listenkey_sandbox: Sandbox, free_port: int) -> None:
    only, port = container(manifest()), str(free_port)
    (named,) = only["ports"]
    variables = {variable["name"]: variable.get("value") for variable in only["env"]}
    assert variables["HEALTH_PORT"] == str(named["containerPort"])
    live, ready = (only[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe"))
    assert live["port"] == ready["port"] == named["name"]
    listenkey_sandbox.faults.add("reset", times=None)
    with shard(listenkey_sandbox, accounts(tmp_path, ACCOUNTS[:2]), HEALTH_PORT=port) as process:
        wait_for(process.stderr, "The next try is in ")
        assert (until_answered(port, live["path"]), answer(port, ready["path"])) == (200, 503), "the exchange is away"
        with socket.create_connection(("127.0.0.1", int(port))) as half:  # a probe that says nothing
            half.send(b"GET")
            listenkey_sandbox.faults.clear()
            while answer(port, ready["path"]) != 200:
                time.sleep(0.02)
            assert (line(process)[:8], line(process)[:8]) == ("account-", "account-")
            code, out, errors = end(process, signal.SIGTERM)
    assert (code, out[-8:]) == (0, "stopped\n")
    assert "Traceback" not in errors


def answer(port: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def until_answered(port: str, path: str) -> int:
    while True:
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            return answer(port, path)
        time.sleep(0.02)


@contextlib.contextmanager
def shard(sandbox: Sandbox, file: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the only shard, with short waits."""
    with subprocess.Popen(
        [sys.executable, "-c", FAST, "shard.py", "0", "1", file],
        cwd=EXAMPLES,
        env={**os.environ, "LISTENKEY_BASE_URL": sandbox.url, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


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
