"""Write build/reference.html: the document as one page for people, readable offline (swagger-ui, all inlined)."""

import html
import json
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / ".cache" / "node" / "node_modules" / "swagger-ui-dist"
PAGE = ROOT / "build" / "reference.html"

# The policy forbids the page every request, whatever swagger-ui may come to do. No "try it out": it would send a real
# API key from a file that somebody was mailed.
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="reference"></div>
<script>{script}</script>
<script>
SwaggerUIBundle({{
  dom_id: "#reference", spec: {document}, docExpansion: "full", defaultModelsExpandDepth: 2,
  supportedSubmitMethods: [], validatorUrl: null, showExtensions: true
}});
</script>
</body>
</html>
"""


def main() -> int:
    """Put the parts together."""
    document = YAML(typ="safe").load(ROOT / "openapi.yaml")
    text = TEMPLATE.format(
        title=html.escape(f"{document['info']['title']} {document['info']['version']}"),
        style=(UI / "swagger-ui.css").read_text(encoding="utf-8"),
        script=(UI / "swagger-ui-bundle.js").read_text(encoding="utf-8").replace("</script", "<\\/script"),
        document=json.dumps(document, ensure_ascii=False).replace("</", "<\\/"),
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(text.encode()) / 1e6:.1f} MB, one file, for any browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
