"""Write generated/ from openapi.yaml and asyncapi.yaml. With --check: write nothing, and fail if any byte would change.

Prints the changes: files first, then models, fields, functions and parameters.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from generate.packages import PACKAGES, ROOT, GenerationError, differences
from generate.surface import changes, surface


def told(package: Path, fresh: Path) -> bool:
    """Print the differences between the committed package and the fresh package. Returns whether there are any."""
    rows = differences(ROOT / package, fresh)
    if not rows:
        print(f"{package}: nothing changed")
        return False
    seen = changes(surface(ROOT / package), surface(fresh))
    print("\n".join([*rows, *(seen or ["no model, field or function changed: texts alone"])]))
    return True


def main() -> int:
    """Generate into a temporary folder, then compare or replace."""
    parser = argparse.ArgumentParser(prog="make generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = {package: Path(folder) / package.name for package in PACKAGES}
        try:
            for package, (document, write) in PACKAGES.items():
                write(ROOT / document, fresh[package])
        except GenerationError as error:
            print(f"generation failed; nothing was changed\n{error}", file=sys.stderr)
            return 1
        changed = [package for package in PACKAGES if told(package, fresh[package])]
        for package in changed:
            if check:
                print(f"{package} is not what {PACKAGES[package][0]} gives: run `make generate`", file=sys.stderr)
            else:
                shutil.rmtree(ROOT / package, ignore_errors=True)
                shutil.copytree(fresh[package], ROOT / package)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
