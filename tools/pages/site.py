"""`make docs`: write build/site/, a site of README, docs/, examples/, CHANGELOG and references, with an offline search.

The Markdown of this repository is for readers of the repository. This program gives each page the form that the
generator, Zensical, wants. English and Chinese are two sites, because a search serves a single language.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pages import documents

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAGE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
SHIM = ROOT / ".cache" / "node" / "node_modules" / "iframe-worker" / "shim" / "index.js"
SHIM_ADDRESS = "https://unpkg.com/iframe-worker/shim"
MODULES = ["listenkey", "listenkey.stream", "listenkey.sandbox"]
ENGLISH = {
    "Guides": [
        *("stream", "account", "keeper", "client", "errors", "testing", "command-line"),
        *("proxies-and-certificates", "threads-and-forks", "notebooks"),
    ],
    "Answers": ["questions", "recipes", "coming-from", "examples/index"],
    "Operation": ["monitoring", "containers", "many-accounts"],
    "Reference": ["events", *(f"reference/{module}" for module in MODULES), "generated-client", "other-languages"],
    "Project": ["decisions", "versions", "verified", "benchmarks", "changelog", "contributing", "security"],
}
CHINESE = {"指南": ["proxies-and-certificates", "stream", "account", "keeper", "errors", "testing", "command-line"]}
LANGUAGES = {"en": ENGLISH, "zh-CN": CHINESE}
FENCES = {".py": "python", ".yaml": "yaml", ".service": "ini", "": "dockerfile"}


def pages(language: str) -> dict[str, str]:
    """Give each file with a page in the site, and the place of the page. Paths are relative."""
    if language == "zh-CN":
        own = {path.relative_to(ROOT).as_posix(): path.name for path in (ROOT / "docs/zh-CN").glob("*.md")}
        return {"README.zh-CN.md": "index.md", **own}
    names = {"README.md": "index.md"}
    names |= {f"{name.upper()}.md": f"{name}.md" for name in ("changelog", "contributing", "security")}
    names |= {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    programs = [path for path in sorted((ROOT / "examples").iterdir()) if path.suffix in FENCES]
    names |= {f"examples/{path.name}": f"examples/{path.name}.md" for path in programs}
    return {**names, "examples/README.md": "examples/index.md"}


def address(link: str, source: str, language: str) -> str | None:
    """Give the place in the site behind a link of a file. None: the site has no page for the link."""
    path, mark, anchor = link.partition("#")
    if not path or "://" in path:
        return link
    target = os.path.normpath(PurePosixPath(source).parent / path).replace(os.sep, "/")
    here = PurePosixPath(pages(language)[source]).parent
    for other in LANGUAGES:
        if place := pages(other).get(target):
            if other == language:
                return os.path.relpath(place, here) + mark + anchor
            up = "../" if language == "zh-CN" else ""
            below = "" if other == "en" else f"{other}/"
            return os.path.relpath(up + below + place.removesuffix(".md") + ".html", here) + mark + anchor
    return os.path.relpath(target.rpartition("/")[2], here) if copied(target) else None


def copied(path: str) -> bool:
    """Say whether the site has a copy of a file: the documents, and the pictures."""
    return path in documents.DOCUMENTS or path.endswith(".svg")


def staged(text: str, source: str, language: str) -> str:
    """Rewrite a page for the generator: links lead into the site, and a fence names the language alone."""

    def link(found: re.Match[str]) -> str:
        where = address(found[3], source, language)
        return found[0] if where == found[3] else f"{found[1]}[{found[2]}]({where})" if where else found[2]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"(!?)\[((?:[^\]`]|`[^`]*`)*)\]\(([^)\s]+)\)", link, part) for part in parts[::2]]
    parts[1::2] = [re.sub(r"^```(\w+) .*", r"```\1", part) for part in parts[1::2]]
    return "".join(parts)


def stage(language: str) -> Path:
    """Lay the pages of a language out for the generator."""
    folder = STAGE / language
    for source, place in pages(language).items():
        path, target = ROOT / source, folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".md":
            text = f"# {path.name}\n\n```{FENCES[path.suffix]}\n{text.rstrip()}\n```\n"
        target.write_text(staged(text, source, language), encoding="utf-8")
    copies = [ROOT / name for name in documents.DOCUMENTS]
    for path in [HERE / "site.css", *copies, *(ROOT / "docs").rglob("*.svg")]:
        shutil.copy(path, folder)
    if language == "en":
        for module in MODULES:
            target = folder / "reference" / f"{module}.md"
            target.parent.mkdir(exist_ok=True)
            target.write_text(f"# {module}\n\n::: {module}\n", encoding="utf-8")
    return folder


def nav(language: str) -> str:
    """Write the table of contents, as TOML. Each page must be in a group, and each page of a group must exist."""
    groups = LANGUAGES[language]
    listed = {f"{name}.md" for names in groups.values() for name in names}
    there = {path.relative_to(STAGE / language).as_posix() for path in (STAGE / language).rglob("*.md")}
    programs = {name for name in there if name.startswith("examples/")}
    if wrong := sorted((there - programs - {"index.md"}) ^ (listed - programs)):
        raise SystemExit(f"tools/pages/site.py: in no group, or missing: {', '.join(wrong)}")
    drawn = {"Reference": ['{ "The documents, drawn" = "documents.html" }']}
    inside = {title: [*(f'"{name}.md"' for name in names), *drawn.get(title, [])] for title, names in groups.items()}
    entries = [f'{{ "{title}" = [{", ".join(pages)}] }}' for title, pages in inside.items()]
    return f'["index.md", {", ".join(entries)}]'


def build(language: str) -> bool:
    """Build the site of a language. A warning is a failure, for example for a link that leads nowhere."""
    folder = stage(language)
    target = SITE if language == "en" else SITE / language
    up = "" if language == "en" else "../"
    templates = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=False)  # noqa: S701  no HTML
    settings = SITE.parent / f"site.{language}.toml"  # both folders have to lie below this file
    text = templates.get_template("site.toml.jinja").render(
        description="Binance European Options' user data stream, for Python",
        source=str(folder.relative_to(SITE.parent)),
        target=str(target.relative_to(SITE.parent)),
        nav=nav(language),
        language="zh" if language == "zh-CN" else language,
        languages=[("English", "en", f"{up}index.html"), ("中文", "zh", f"{up}zh-CN/index.html")],
        paths=[str(ROOT), str(ROOT / "generated")],
    )
    settings.write_text(text, encoding="utf-8")
    command = ["zensical", "build", "--clean", "--strict", "-f", str(settings)]
    done = subprocess.run(command, cwd=SITE.parent, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return done.returncode == 0


def ask_nobody() -> None:
    """Put the search's helper into the site. Pages of Zensical load the helper from unpkg.com."""
    (SITE / "assets" / "iframe-worker.js").write_bytes(SHIM.read_bytes())
    for page in SITE.rglob("*.html"):
        local = os.path.relpath(SITE / "assets" / "iframe-worker.js", page.parent)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM_ADDRESS, local), encoding="utf-8")


def main() -> int:
    """Build the sites of both languages, then draw the documents."""
    shutil.rmtree(STAGE, ignore_errors=True)
    if not all(build(language) for language in LANGUAGES):
        return 1
    ask_nobody()
    documents.write(SITE / "documents.html")
    written = len(list(SITE.rglob("*.html")))
    print(f"build/site/index.html: {written} pages, for any browser, with or without a server")
    return 0


if __name__ == "__main__":
    sys.exit(main())
