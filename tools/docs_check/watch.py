"""Fetch the vendor's schema and compare it with our documents, for a daily run: same, differs, or cannot tell.

``python -m docs_check.watch URL FOLDER`` leaves `report.md` in FOLDER. Exit 0: the same; 1: something differs; 2: it
cannot be told (no answer, an empty body, a page of a firewall, a schema that does not read or has no listen key). A
check that cannot tell must not look like a check that found nothing.
"""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = b"/eapi/v1/listenKey"
MEDIA_TYPES = {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/json", "text/plain"}
LONGEST = 20_000_000  # bytes
OUTCOMES = ("The schema says the same.", "The schema differs.", "It cannot be told whether the schema differs.")


def fetch(url: str, path: Path) -> str | None:
    """Write what is at a URL to a file. Returns why that is no schema, or None."""
    try:
        request = urllib.request.Request(url, headers={"Accept": ", ".join(sorted(MEDIA_TYPES))})  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            media_type, body = answer.headers.get_content_type(), answer.read(LONGEST + 1)
    except urllib.error.HTTPError as error:
        with error:  # it holds the answer
            return f"no answer: {error}"
    except (OSError, ValueError) as error:
        return f"no answer: {error}"
    if media_type not in MEDIA_TYPES:
        return f"an answer of type {media_type}, {len(body)} bytes: no schema"
    if not body.strip():
        return "an empty answer"
    if len(body) > LONGEST:
        return f"an answer of more than {LONGEST} bytes"
    if ENDPOINT not in body:
        return f"no word of {ENDPOINT.decode()}, in {len(body)} bytes of {media_type}"
    path.write_bytes(body)
    return None


def compare(schema: Path) -> tuple[int, str]:
    """Hold a schema against our documents: docs_check's exit status, and its report."""
    command = [sys.executable, "-m", "docs_check", "check", "--schema", str(schema), "--format", "markdown"]
    done = subprocess.run(command, cwd=ROOT / "tools", capture_output=True, text=True, encoding="utf-8", check=False)
    return (done.returncode if done.returncode in (0, 1) else 2), done.stdout + done.stderr


def main(url: str, folder: str) -> int:
    """Fetch, compare, and write the report."""
    schema = Path(folder) / "schema.yaml"
    failure = fetch(url, schema)
    outcome, told = (2, failure) if failure else compare(schema)
    report = f"{OUTCOMES[outcome]}\n\nFrom {url}:\n\n{told}\n"
    (Path(folder) / "report.md").write_text(report, encoding="utf-8")
    print(report)
    return outcome


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
