from pathlib import Path

from generate import packages
from generate.surface import changes, surface

MODEL = '''class Answer:
    """An answer."""

    key: str
    expiration: int | Unset = UNSET


class Side(str, Enum):
    BUY = "BUY"
'''
FUNCTION = """def _get_kwargs() -> dict[str, Any]: ...


def sync(*, client: AuthenticatedClient) -> Answer | None: ...
"""


def package(folder: Path, model: str, function: str) -> Path:
    for name, text in {"models/answer.py": model, "api/stream/start.py": function}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_summary_names_files_models_fields_and_functions(tmp_path: Path) -> None:
    old = package(tmp_path / "old", MODEL, FUNCTION)
    new = package(
        tmp_path / "new",
        MODEL.replace("int | Unset", "str | Unset").replace("    key: str\n", "    stream: str\n"),
        FUNCTION.replace("*, client", "*, limit: int, client").replace("AuthenticatedClient", "Client = NONE")
        + "\n\nasync def asyncio() -> None: ...\n",
    )
    assert packages.differences(old, new) == ["differs: api/stream/start.py", "differs: models/answer.py"]
    assert changes(surface(old), surface(new)) == [
        "added: field Answer.stream: str",
        "added: parameter api.stream.start.sync(limit): int",
        "added: function api.stream.start.asyncio: None",
        "removed: field Answer.key: str",
        "retyped: field Answer.expiration: int | Unset -> str | Unset",
        "retyped: parameter api.stream.start.sync(client): AuthenticatedClient -> Client = NONE",
    ]
    assert surface(old)["field Side.BUY"] == "'BUY'"


def test_the_same_package_has_no_changes(tmp_path: Path) -> None:
    old = package(tmp_path / "old", MODEL, FUNCTION)
    new = package(tmp_path / "new", MODEL, FUNCTION)
    assert packages.differences(old, new) == []
    assert changes(surface(old), surface(new)) == []


def test_it_reads_the_committed_package() -> None:
    seen = surface(packages.ROOT / packages.CLIENT)
    assert seen["field ListenKeyResponse.listen_key"] == "str"
    assert seen["field ListenKeyResponse.expiration"] == "int | Unset"
    assert (
        seen["function api.user_data_stream.start_user_data_stream.sync"] == "BinanceError | ListenKeyResponse | None"
    )
    assert seen["parameter api.user_data_stream.start_user_data_stream.sync(client)"] == "AuthenticatedClient"
