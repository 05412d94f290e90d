"""Fetch what Binance publishes and compare it with our documents, for a daily run: same, differs, or cannot tell.

``python -m docs_check.watch FOLDER`` fetches what words.yaml lists, and leaves `report.md` in FOLDER;
``… FOLDER FILE…`` takes these files instead. Exit 0: the same; 1: something differs; 2: it cannot be told
(no answer, an empty body, a page of a firewall, a file that does not read or lacks its word). A check that cannot tell
must not look like a check that found nothing. A page that the site does not serve as Markdown is passed over.
"""

import re
import subprocess
import sys
from pathlib import Path

import httpx  # noqa: TID251  it fetches files, and calls no API

from docs_check import document
from docs_check.__main__ import ROOT
from docs_check.check import Project
from docs_check.compare import Report
from docs_check.lock import write
from docs_check.page import WORDS, Unclear
from docs_check.report import as_text

TYPES = {
    "schema": ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/json", "text/plain"],
    "page": ["text/markdown", "text/x-markdown", "text/plain"],
}
OUTCOMES = ("What Binance publishes says the same.", "It differs.", "It cannot be told whether it differs.")


def fetch(url: str, word: str, kind: str) -> bytes:
    """Return what is at a URL. A page's front matter then says where the page is from.

    Raises:
        Unclear: there is no answer, or another one than a source.

    """
    try:
        answer = httpx.get(url, headers={"Accept": ", ".join(TYPES[kind])}, timeout=60, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unclear(f"no answer: {error}") from error
    media_type, size = answer.headers.get("Content-Type", "").split(";")[0].strip().casefold(), len(answer.content)
    wrong = {
        f"an answer of status {answer.status_code}, {size} bytes": answer.status_code != 200,
        f"an answer of type {media_type}, {size} bytes": media_type not in TYPES[kind],
        "an empty answer": not answer.content.strip(),
        f"no word of {word}, in {size} bytes of {media_type}": word.encode() not in answer.content,
    }
    for why in (why for why, holds in wrong.items() if holds):
        raise Unclear(why)
    if kind == "schema":
        return answer.content
    own = re.match(rb"---\n(?=(\w+:.*\n)+---\n)", answer.content)
    return b"---\nsource_url: %b\n%b" % (url.encode(), answer.content[4:] if own else b"---\n\n" + answer.content)


def gather(watched: list[dict[str, str]], folder: Path) -> tuple[list[Path], list[str], set[int]]:
    """Fetch sources. Returns their files, what there is to tell, and the outcome 2 if a schema file is missing."""
    files, told, outcomes = [], [], set()
    for i, each in enumerate(watched):
        path = folder / f"{i}.{'md' if each['kind'] == 'page' else 'yaml'}"
        try:
            path.write_bytes(fetch(**each))
        except Unclear as error:
            outcomes |= {2} if each["kind"] == "schema" else set()
            told.append(f"{each['url']}: {error}")
        else:
            files.append(path)
            told.append(f"{path.name} is from {each['url']}")
    return files, told, outcomes


def changelog(report: Report, last: Path, folder: Path) -> str:
    """Return how oasdiff tells the changes of a schema file since one was accepted."""
    oasdiff = ROOT / ".cache/go/bin/oasdiff"
    if not oasdiff.exists() or not last.exists():
        return "the program is missing, or no schema file was accepted yet"
    files = [str(folder / name) for name in ("last.yaml", "today.yaml")]
    for file, root in zip(files, (document.load(last), report.extract), strict=True):
        write(Path(file), document.answering(root))
    command = [str(oasdiff), "changelog", *files]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    return (done.stdout + done.stderr).strip() or "no change"


def compare(folder: Path, files: list[Path], watched: list[dict[str, str]]) -> tuple[list[str], set[int]]:
    """Compare files, or else what is fetched. Returns what there is to tell, and the outcomes.

    Raises:
        Unclear: a document of ours is in no state to be compared with.

    """
    project = Project(ROOT)
    files, told, outcomes = (files, [], set[int]()) if files else gather(watched, folder)
    for path in files:
        report = project.page(path) if path.suffix == ".md" else project.schema(path)
        outcomes.add(report.exit)
        told.append(as_text([report]))
        if report.extract and report.exit != 2:
            told.append(f"oasdiff: {changelog(report, project.lock.kept(report.key), folder)}")
    return told, outcomes


def main(folder: Path, files: list[Path], watched: list[dict[str, str]]) -> int:
    """Compare, and write the report. A difference counts more than what is unclear."""
    try:
        told, outcomes = compare(folder, files, watched)
    except Unclear as error:
        told, outcomes = [str(error)], {2}
    outcome = 1 if 1 in outcomes else max(outcomes, default=2)
    text = "\n\n".join([OUTCOMES[outcome], "```text", *told, "```\n"])
    (folder / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return outcome


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), list(map(Path, sys.argv[2:])), WORDS["watched"]))
