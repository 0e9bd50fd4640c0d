"""Typed reading of a config.json, which anyone may have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast


class UnusableConfigError(Exception):
    """A config.json that facts cannot be taken from; the text is the reason. Caught in `facts`, beside."""


class ConfigReader:
    """Values of a config.json by key, with the defaults that transformers' class has where the file is silent.

    A key that is there and null is null: it does not fall back to the default, as in transformers.
    """

    def __init__(self, values: Mapping[str, object], defaults: Mapping[str, object] | None = None) -> None:
        self._values = {**(defaults or {}), **values}

    def size(self, key: str) -> int:
        """A positive integer that must be there."""
        value = self.maybe_size(key)
        if value is None:
            raise UnusableConfigError(f'"{key}" is missing')
        return value

    def maybe_size(self, key: str) -> int | None:
        """A positive integer, or None where it is left out or null."""
        value = self._integer(key)
        if value is not None and value <= 0:
            raise UnusableConfigError(f'"{key}" is {value}, not a positive integer')
        return value

    def count(self, key: str, default: int = 0) -> int:
        """An integer of at least zero, `default` where it is left out or null."""
        value = self._integer(key)
        if value is not None and value < 0:
            raise UnusableConfigError(f'"{key}" is {value}, which is negative')
        return default if value is None else value

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false, `default` where it is left out or null."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UnusableConfigError(f'"{key}" is {value!r}, not true or false')
        return value

    def text(self, key: str) -> str | None:
        """A string, or None."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, str):
            raise UnusableConfigError(f'"{key}" is {value!r}, not a string')
        return value

    def section(self, key: str) -> Mapping[str, object] | None:
        """A mapping, or None."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise UnusableConfigError(f'"{key}" is {value!r}, not an object')
        return cast("dict[str, object] | None", value)

    def items(self, key: str) -> list[object]:
        """A list, empty where it is left out or null."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, list):
            raise UnusableConfigError(f'"{key}" is {value!r}, not a list')
        return cast("list[object]", value or [])

    def number(self, key: str) -> float | None:
        """An integer or a float, or None."""
        value = self._values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UnusableConfigError(f'"{key}" is {value!r}, not a number')
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there and says something other than null, false or nothing."""
        return bool(self._values.get(key))

    def _integer(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise UnusableConfigError(f'"{key}" is {value!r}, not an integer')
        return value
