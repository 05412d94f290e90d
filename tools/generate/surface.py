"""Compare generated packages as users see packages: models, fields, functions and parameters.

griffe reads the packages, and nothing is imported. griffe's own comparison tells of breaks alone. A person who changed
openapi.yaml also wants to see additions, and fields and parameters with a new type.
"""

from pathlib import Path

import griffe


def surface(folder: Path) -> dict[str, str]:
    """Return each model, field, function and parameter of a generated package, with the type."""
    found: dict[str, str] = {}
    for file in sorted([*folder.glob("models/*.py"), *folder.glob("__init__.py")]):
        for each in read(folder, file).classes.values():
            found |= model(each)
    for file in sorted(folder.glob("api/**/*.py")):
        for function in read(folder, file).functions.values():
            if not function.name.startswith("_"):
                found |= parameters(function)
    return found


def read(folder: Path, file: Path) -> griffe.Module:
    """Read a file of the package, without the imports of the file."""
    name = ".".join(file.relative_to(folder).with_suffix("").parts)
    module = griffe.visit(name, file, file.read_text(encoding="utf-8"))
    for alias in [name for name, member in module.members.items() if member.is_alias]:
        module.del_member(alias)
    return module


def model(of: griffe.Class) -> dict[str, str]:
    """Return the bases of a model, and the type of each field."""
    fields = {f"field {of.name}.{name}": str(each.annotation or each.value) for name, each in of.attributes.items()}
    return {f"model {of.name}": ", ".join(map(str, of.bases)) or "object", **fields}


def parameters(of: griffe.Function) -> dict[str, str]:
    """Return the return type of a function, and the type and the default of each parameter."""
    found = {f"function {of.path}": str(of.returns)}
    for each in of.parameters:
        default = f" = {each.default}" if each.default else ""
        found[f"parameter {of.path}({each.name})"] = f"{each.annotation or 'Any'}{default}"
    return found


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Give a line for each model, field, function and parameter that was added, removed or retyped."""
    rows = [f"added: {name}: {new[name]}" for name in new if name not in old]
    rows += [f"removed: {name}: {old[name]}" for name in old if name not in new]
    return rows + [
        f"retyped: {name}: {old[name]} -> {new[name]}" for name in new if old.get(name, new[name]) != new[name]
    ]
