"""What a user of a generated package sees: models, fields, functions and parameters. griffe reads; nothing is imported.

griffe's own comparison is for what breaks. It tells of no addition, of no field that has another type, and of no
parameter that has another type: a person who changed openapi.yaml wants to see these.
"""

from pathlib import Path

import griffe


def surface(folder: Path) -> dict[str, str]:
    """Return a generated package as users see it: each model, field, function and parameter, with its type."""
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
    """Read a file of the package, without what the file imports."""
    name = ".".join(file.relative_to(folder).with_suffix("").parts)
    module = griffe.visit(name, file, file.read_text(encoding="utf-8"))
    for alias in [name for name, member in module.members.items() if member.is_alias]:
        module.del_member(alias)
    return module


def model(of: griffe.Class) -> dict[str, str]:
    """Return a model's bases and the type of each of its fields."""
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
    """One line for each model, field and function that was added, removed or retyped."""
    rows = [f"added: {name}: {new[name]}" for name in new if name not in old]
    rows += [f"removed: {name}: {old[name]}" for name in old if name not in new]
    return rows + [
        f"retyped: {name}: {old[name]} -> {new[name]}" for name in new if old.get(name, new[name]) != new[name]
    ]
