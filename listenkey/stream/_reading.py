"""How an object of a generated class is read from JSON. Pure.

Nearly every object has the documented fields in the documented types. The generated functions read such an object at
once. Any other object is read field by field, which takes three times as long and can say what is wrong. Both ways give
the same.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from binance_options_events import FIELDS, Field
from binance_options_events.reading import READERS, UNDOCUMENTED

__all__ = ["UNDOCUMENTED", "VALUES", "Reader", "Unreadable", "number"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
is_amount = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII).fullmatch
is_integer = re.compile(r"-?\d{1,19}", re.ASCII).fullmatch

Raw = Mapping[str, Any]
Tell = Callable[[str, str], None]


class Unreadable(Exception):
    """The unreadable part, by the keys of the wire."""


class Reader:
    """Reads the objects of a generated class.

    Args:
        cls: the class.
        tell: is told of an optional field that cannot be read: the place of the object, and the key.
    """

    def __init__(self, cls: type, tell: Tell) -> None:
        self.read_at_once = READERS[cls]  # raises UNDOCUMENTED
        self._cls, self._tell = cls, tell
        self._parts = {each.key: Reader(each.of, tell) for each in FIELDS[cls] if each.of is not None}
        self._keeps_raw = any(each.name == "raw" for each in fields(cls))

    def read_by_field(self, raw: Raw, where: str) -> object:
        """Read any object, which stands at a place. An optional field that cannot be read is None.

        Raises:
            Unreadable: a required field is missing, or of the wrong type.
        """
        values: dict[str, object] = {"raw": raw} if self._keeps_raw else {}
        for each in FIELDS[self._cls]:
            value = raw.get(each.key)
            try:
                values[each.name] = self._value(each, value, f"{where}.{each.key}")
            except (Unreadable, ValueError, TypeError, OverflowError) as error:
                if each.required:
                    raise error if isinstance(error, Unreadable) else Unreadable(f"{where}.{each.key}") from None
                values[each.name] = None
                if value is not None:
                    self._tell(where, each.key)
        return self._cls(**values)

    def _value(self, each: Field, value: object, where: str) -> object:
        if each.of is None:
            return VALUES[each.kind](value)
        reader = self._parts[each.key]
        if each.kind == "object":
            return reader.read_by_field(cast(Raw, of_type(dict, value)), where)
        parts = cast(list[object], of_type(list, value))
        return tuple(reader.read_by_field(cast(Raw, of_type(dict, part)), where) for part in parts)


def number(text: str) -> Decimal | str:
    """Read a number with a point or an exponent. A number that would fill the memory when printed stays a text."""
    return Decimal(text) if is_amount(text) else text


def of_type(kind: type, value: object) -> object:
    if type(value) is not kind:  # no bool for an int
        raise TypeError
    return value


def as_decimal(value: object) -> Decimal:
    if isinstance(value, str):
        if not is_amount(value):  # Decimal itself takes NaN, 1_000 and more
            raise ValueError
        return Decimal(value)
    return value if isinstance(value, Decimal) else Decimal(as_integer(value))


def as_integer(value: object) -> int:
    if isinstance(value, str) and is_integer(value):
        return int(value)
    return cast(int, of_type(int, value))


def as_time(value: object) -> datetime:
    return EPOCH + timedelta(milliseconds=as_integer(value))


VALUES: Mapping[str, Callable[[object], Any]] = {  # each raises ValueError, TypeError or OverflowError
    "text": lambda value: of_type(str, value),
    "flag": lambda value: of_type(bool, value),
    "integer": as_integer,
    "decimal": as_decimal,
    "time": as_time,
}
