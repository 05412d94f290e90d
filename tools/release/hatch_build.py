"""A hook of the build backend, named in pyproject.toml: the wheel names the sources of the generated packages."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DOCUMENTS = ("openapi.yaml", "asyncapi.yaml", "account.yaml")


class TellSource(BuildHookInterface[Any]):
    """Adds the documents, and `source.json` with their digests and the generator's version, to the generated client."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files. An editable install needs no copies."""
        if version == "editable":
            return
        root = Path(self.root)
        (pin,) = re.findall(r'"(openapi-python-client==[^"]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"))
        digests = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in DOCUMENTS}
        told = Path(self.directory) / "source.json"
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(json.dumps({"generator": pin, "sha256": digests}, indent=2) + "\n", encoding="utf-8")
        for path in (*(root / name for name in DOCUMENTS), told):
            build_data["force_include"][str(path)] = f"binance_options_client/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete source.json, so that only the wheel is left in the folder."""
        (Path(self.directory) / "source.json").unlink(missing_ok=True)
