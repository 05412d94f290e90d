from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ListenKeyResponse")


@_attrs_define
class ListenKeyResponse:
    """The account's listen key and, on newer answers, when it ends.

    Attributes:
        listen_key (str): Name of the account's private stream. A secret while it lives. Examples have 64 letters and
            digits. Example: pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1.
        expiration (int | Unset): When the key ends, in milliseconds since 1970-01-01 00:00 UTC, by Binance's clock.
            Absent from the answer that the Chinese page shows; the key then lives 60 minutes from the request. Example:
            1762855900452.
    """

    listen_key: str
    expiration: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        listen_key = self.listen_key

        expiration = self.expiration

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "listenKey": listen_key,
            }
        )
        if expiration is not UNSET:
            field_dict["expiration"] = expiration

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        listen_key = d.pop("listenKey")

        expiration = d.pop("expiration", UNSET)

        listen_key_response = cls(
            listen_key=listen_key,
            expiration=expiration,
        )

        listen_key_response.additional_properties = d
        return listen_key_response

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
