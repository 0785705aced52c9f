"""The parameters of a strategy, taken from the plan by name: a wrong value or an unknown name is refused."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading_core.errors import ConfigurationError
from trading_core.money import decimal_of, plain


class Params:
    """Each parameter is taken once; `finish` refuses what nobody took.

    >>> params = Params({"fast": 12})
    >>> params.whole("fast", 5, low=1, high=100)
    12
    """

    def __init__(self, given: Mapping[str, str | int | bool]) -> None:
        self._given = dict(given)
        self._known: list[str] = []

    def whole(self, name: str, otherwise: int, *, low: int, high: int) -> int:
        """Return a whole number in the range."""
        value = self._take(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigurationError(f"{name} is {value!r}: write a whole number from {low} to {high}")
        return value

    def exact(self, name: str, otherwise: str, *, low: str, high: str) -> Decimal:
        """Return a decimal in the range, written as a string."""
        value = self._take(name, otherwise)
        words = f"{name} is {value!r}: write a decimal from {low} to {high} as a string"
        if not isinstance(value, str):
            raise ConfigurationError(words)
        try:
            number = decimal_of(value)
        except (TypeError, ValueError) as e:
            raise ConfigurationError(words) from e
        if not Decimal(low) <= number <= Decimal(high):
            raise ConfigurationError(words.replace(repr(value), plain(number)))
        return number

    def text(self, name: str, otherwise: str) -> str:
        """Return a text that is not empty."""
        value = self._take(name, otherwise)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{name} is {value!r}: write a text")
        return value

    def choice(self, name: str, otherwise: str, among: tuple[str, ...]) -> str:
        """Return one of the words."""
        value = self._take(name, otherwise)
        if not isinstance(value, str) or value not in among:
            raise ConfigurationError(f"{name} is {value!r}: write one of {', '.join(among)}")
        return value

    def rest(self, prefix: str) -> dict[str, str | int | bool]:
        """Return what starts with the prefix and a dot, without them: the parameters of a part."""
        head = f"{prefix}."
        chosen = {name: value for name, value in self._given.items() if name.startswith(head)}
        for name in chosen:
            del self._given[name]
        return {name.removeprefix(head): value for name, value in chosen.items()}

    def finish(self) -> None:
        """Refuse every parameter that nobody took: a misspelt one would silently keep its default."""
        if self._given:
            known = ", ".join(self._known) or "none"
            raise ConfigurationError(f"unknown parameters {', '.join(sorted(self._given))}: there are {known}")

    def _take(self, name: str, otherwise: str | int) -> str | int | bool:
        self._known.append(name)
        return self._given.pop(name, otherwise)
