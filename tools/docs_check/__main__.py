"""Compare documentation pages, as crawled, with openapi.yaml. Without a page: list the pages it was taken from.

Exit 0: the same (notes may be printed); 1: something differs; 2: it cannot be told. Of several pages, the worst.
"""

import argparse
import io
import sys
from pathlib import Path

from docs_check import report
from docs_check.check import Project
from docs_check.facts import facts_of_page
from docs_check.openapi import DocumentError
from docs_check.page import PageError, read

ROOT = Path(__file__).resolve().parents[2]
FORMS = {"text": report.as_text, "markdown": report.as_markdown, "json": report.as_json}


def sources(project: Project) -> str:
    """List the page and date of each operation."""
    rows = [(op.name, op.source.get("updated"), op.source.get("url")) for op in project.operations]
    return "\n".join(f"{name:28}{updated}  {url}" for name, updated, url in rows)


def facts(path: Path) -> str:
    """Write what was read of a page."""
    lines = []
    for reading in facts_of_page(read(path)):
        lines.append(f"{reading.name or path}, {reading.language}")
        lines += [f"  {fact.line:>4}  {key}: {fact.value}" for key, fact in reading.facts.items()]
        lines += [f"  {line.line:>4}  {line.section} | {line.text}" for line in reading.lines]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run one of the verbs."""
    parser = argparse.ArgumentParser(
        prog="docs_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("check", "accept", "facts"))
    parser.add_argument(
        "pages", nargs="*", type=Path, metavar="PAGE", help="a page as crawled: Markdown with front matter"
    )
    parser.add_argument("--format", choices=FORMS, default="text")
    parser.add_argument("--reason", default="", help="why facts that differ are accepted")
    parser.add_argument("--only", default="", help="the digests of the facts to accept; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where openapi.yaml and pages.lock.json are")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # half of a page is Chinese, whatever the terminal's locale
    try:
        if options.verb == "facts":
            print("\n".join(map(facts, options.pages)))
            return 0
        project = Project(options.folder)
        reports = [project.check(path) for path in options.pages]
    except (DocumentError, PageError) as error:
        print(error, file=sys.stderr)
        return 2
    if not reports:
        print(sources(project))
        return 0
    print(FORMS[options.format](reports))
    if options.verb == "accept":
        for each in reports:
            if each.exit < 2:
                project.accept(each, options.reason, options.only.split())
        reports = [project.check(path) for path in options.pages]
        left = sum(row.kind == "fact" for each in reports for row in each.rows)
        print(f"accepted; {left} facts are left" + (", which want a REASON" if left and not options.reason else ""))
    return max(each.exit for each in reports)


if __name__ == "__main__":
    sys.exit(main())
