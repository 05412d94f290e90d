"""Compare documentation pages, as crawled, with openapi.yaml and asyncapi.yaml; without a page, list those they cite.

Exit 0: the same (notes may be printed); 1: something differs; 2: it cannot be told. Of several pages, the worst.
"""

import argparse
import sys
from pathlib import Path

from docs_check import further, report
from docs_check.check import Project
from docs_check.compare import Report
from docs_check.facts import facts_of_part
from docs_check.page import Unclear, read

ROOT = Path(__file__).resolve().parents[2]
FORMS = {"text": report.as_text, "markdown": report.as_markdown, "json": report.as_json}


def sources(project: Project) -> str:
    """List the pages that the documents cite: of operations and events, then the general ones."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, source in project.sources:
        dates = {"url": source.get("updated", source.get("seen", "general")), "present": "present"}
        for kind in filter(source.get, dates):
            rows.setdefault((dates[kind], source[kind].split("#")[0]), []).append(name)
    return "\n".join(f"{date:10}  {url}  {', '.join(dict.fromkeys(names))}" for (date, url), names in rows.items())


def facts(path: Path) -> str:
    """Write what is read of a page."""
    lines, page = [], read(path)
    for reading in list(map(facts_of_part, page.parts)) or further.readings(page):
        lines.append(f"{reading.name or path}, {reading.language}")
        lines += [f"  {line:>4}  {key}: {value}" for key, (value, line) in reading.facts.items()]
        lines += [f"  {line.line:>4}  {line.section} | {line.text}" for line in reading.lines]
    return "\n".join(lines)


def compare(project: Project, options: argparse.Namespace) -> list[Report]:
    """Compare all sources, and what the repository states of a fact that has changed."""
    stale = project.stale()
    return [*map(project.page, options.pages), *map(project.schema, options.schema), *[stale] * bool(stale.rows)]


def accept(project: Project, reports: list[Report], options: argparse.Namespace) -> list[Report]:
    """Accept what differs, as far as it can be told, and say what is left."""
    for each in reports:
        if each.exit == 1 and each.key:
            project.lock.accept(each, options.reason, set(options.only.split()))
    unclear = sum(each.exit == 2 for each in reports)
    reports = compare(project, options)
    left = sum(each.differs for each in reports if each.exit == 1)
    told = f"rows that are left: {left}" + ', of which facts want REASON="…"' * bool(left and not options.reason)
    print(f"{told}; sources of which nothing was accepted: {unclear}" if unclear else f"accepted; {told}")
    return reports


def run(options: argparse.Namespace) -> int:
    """Run one of the verbs."""
    if options.verb == "facts":
        print("\n".join(map(facts, options.pages)))
        return 0
    project = Project(options.folder)
    reports = compare(project, options)
    if not options.pages and not options.schema:
        print(sources(project))
    if reports:
        print(FORMS[options.format](reports))
    if reports and options.verb == "accept":
        reports = accept(project, reports, options)
    return max((each.exit for each in reports), default=0)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="docs_check", description=__doc__, formatter_class=form)
    parser.add_argument("verb", choices=("check", "accept", "facts"))
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="as crawled: Markdown with front matter")
    parser.add_argument(
        "--schema", nargs="*", type=Path, default=[], metavar="FILE", help="of the vendor's: OpenAPI, AsyncAPI"
    )
    parser.add_argument("--format", choices=FORMS, default="text")
    parser.add_argument("--reason", default="", help="why facts that differ are accepted")
    parser.add_argument("--only", default="", metavar="DIGESTS", help="the rows to accept, and no others; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT, help="of a project: the documents, and the lock file")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # half of a page is Chinese, whatever the terminal's locale
    try:
        return run(parser.parse_args(arguments))
    except Unclear as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
