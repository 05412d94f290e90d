"""The daily watch: what is no source is never "nothing differs"."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from docs_check import watch
from docs_check.page import WORDS
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tools/docs_check/accepted"
SCHEMA = (KEPT / "schema-of-operations.yaml").read_bytes()
EVENTS = (KEPT / "schema-of-events.yaml").read_bytes()
FIREWALL = b"<html><title>Attention required</title></html>"
PAGE = b"# User Data Streams\n\nA listenKey lives 60 minutes.\n"


@pytest.fixture
def vendor() -> Iterator[Any]:
    """Serve answers by path, as told: `vendor.answers["/x"] = (status, media type, body)`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, media_type, body = self.server.answers[self.path]  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers = {}  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def watched(vendor: Any, kind: str, answer: tuple[int, str, bytes], word: str = "listenKey") -> dict[str, str]:
    path = f"/{len(vendor.answers)}"
    vendor.answers[path] = answer
    return {"kind": kind, "url": f"http://127.0.0.1:{vendor.server_port}{path}", "word": word}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "application/yaml", b""), "an empty answer"),
        ((200, "application/yaml", b" \n"), "an empty answer"),
        ((202, "application/yaml", b""), "an answer of status 202, 0 bytes"),
        ((202, "application/yaml", SCHEMA), "an answer of status 202"),
        ((200, "text/html; charset=utf-8", FIREWALL), "an answer of type text/html"),
        ((200, "text/plain", FIREWALL), "no word of listenKey, in 46 bytes of text/plain"),
        ((200, "application/yaml", b"/eapi/v1/listenKey: ["), "0.yaml:1: "),
        ((200, "application/yaml", b"title: listenKey"), "it names no operation and no event"),
        ((200, "application/json", b"{}"), "no word of listenKey"),
        ((403, "text/html", FIREWALL), "an answer of status 403, 46 bytes"),
        ((503, "application/yaml", SCHEMA), "an answer of status 503"),
    ],
)
def test_the_watch_cannot_tell(
    vendor: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: tuple[int, str, bytes], said: str
) -> None:
    assert watch.main(tmp_path, [], [watched(vendor, "schema", answer)]) == 2
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert report.startswith("It cannot be told whether it differs.")
    assert said in report
    assert capsys.readouterr().out == report + "\n"


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1:1/"])
def test_without_an_address_or_an_answer_it_cannot_tell(tmp_path: Path, url: str) -> None:
    assert watch.main(tmp_path, [], [{"kind": "schema", "url": url, "word": "listenKey"}]) == 2


def test_a_document_in_the_middle_of_an_edit_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "openapi.yaml").write_text("paths: [", encoding="utf-8")
    monkeypatch.setattr(watch, "ROOT", tmp_path)
    assert watch.main(tmp_path, [KEPT / "schema-of-events.yaml"], []) == 2
    assert "openapi.yaml:1: " in capsys.readouterr().out


def test_both_schema_files_and_what_is_no_markdown(vendor: Any, tmp_path: Path) -> None:
    sources = [
        watched(vendor, "schema", (200, "application/yaml", SCHEMA)),
        watched(vendor, "schema", (200, "text/yaml", EVENTS), "listenKeyExpired"),
        watched(vendor, "page", (200, "text/html", FIREWALL)),
    ]
    assert watch.main(tmp_path, [], sources) == 0
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert report.startswith("What Binance publishes says the same.")
    assert "an answer of type text/html" in report
    assert "event listenKeyExpired" in report


def test_a_difference_counts_more_than_what_cannot_be_told(vendor: Any, tmp_path: Path) -> None:
    sources = [
        watched(vendor, "schema", (200, "application/yaml", SCHEMA.replace(b"x-ip-weight: 1", b"x-ip-weight: 7"))),
        watched(vendor, "schema", (202, "text/yaml", b"")),
    ]
    assert watch.main(tmp_path, [], sources) == 1
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "weight: 7; the document: 1" in report
    assert "an answer of status 202" in report


def test_a_page_that_is_served_as_markdown_is_compared(vendor: Any, tmp_path: Path) -> None:
    source = watched(vendor, "page", (200, "text/markdown", PAGE))
    assert watch.main(tmp_path, [], [source]) == 2  # no document cites an address on this machine
    assert "no document cites its address" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "0.md").read_bytes() == f"---\nsource_url: {source['url']}\n---\n\n".encode() + PAGE
    source = watched(vendor, "page", (200, "text/markdown", b"---\ntitle: Streams\n---\n" + PAGE))
    watch.main(tmp_path, [], [source])
    front = f"---\nsource_url: {source['url']}\ntitle: Streams\n---\n"
    assert (tmp_path / "0.md").read_bytes() == front.encode() + PAGE


def test_make_watch_runs_the_same_on_files(tmp_path: Path) -> None:
    path = shutil.copy(KEPT / "schema-of-events.yaml", tmp_path / "events.yaml")
    command = ["make", "-s", "-o", ".venv/.ready", "-o", ".cache/go/bin/oasdiff", "watch", f"SCHEMA={path}"]
    done = subprocess.run([*command, f"FOLDER={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("What Binance publishes says the same.")
    steps = YAML(typ="safe").load((ROOT / ".github/workflows/watch.yml").read_text())["jobs"]["compare"]["steps"]
    assert any("-m docs_check.watch" in step.get("run", "") for step in steps)
    (recipe,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "docs_check.watch" in line]
    assert "$(SCHEMA) $(PAGE)" in recipe


def test_what_is_watched_is_recorded_in_the_documents() -> None:
    documents = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("openapi.yaml", "asyncapi.yaml"))
    pages = [each for each in WORDS["watched"] if each["kind"] == "page"]
    assert len(pages) == 2
    assert [each["url"] for each in pages if f"present: {each['url']}" not in documents] == []


@pytest.mark.toolchain
def test_oasdiff_tells_of_events_too(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_bytes(EVENTS.replace(b"- EXPIRED_IN_MATCH\n", b"- EXPIRED_EARLY\n"))
    done = subprocess.run(
        [sys.executable, "-m", "docs_check.watch", str(tmp_path), str(path)],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "added the new `EXPIRED_EARLY` enum value" in done.stdout
