"""Strict protobuf JSON as Coinbase's gateway parses it: an unknown key or a wrong type is told with its place."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NamedTuple, NoReturn

from trading_core.advanced_trade.emit import schema
from trading_core.clock import from_iso

DEPTH_MAX = 64
LITERALS = {"true": True, "false": False}
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
# Known to production though no longer in its document: the SDK still sends the first.
LEGACY_FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "NewOrderRequest": {"self_trade_prevention_id": {"type": "string"}},
    "MarketMarketIoc": {"reduce_only": {"type": "boolean"}},
}
_TOKEN = re.compile(
    r'[ \t\r\n]*(?:("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")'
    r"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9A-Za-z_.])"
    r"|(true|false|null)(?![0-9A-Za-z_])|([{}\[\],:]))"
)
_SPACE = re.compile(r"[ \t\r\n]*")
_ODD = re.compile(r"[^ \t\r\n,:{}\[\]]{1,20}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class ProtoError(ValueError):
    """The sentence that the gateway answers with."""


class _Token(NamedTuple):
    kind: str  # string, number, literal, punct, end
    raw: str
    start: int


def parse(body: bytes, name: str) -> dict[str, Any]:
    """Return the body as the named schema, keys in snake_case, unset members absent; raises ProtoError.

    An empty body is an empty message.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ProtoError("proto: syntax error (line 1:1): invalid UTF-8 in string") from e
    if not text.strip():
        return {}
    parser = _Parser(text)
    message = parser.message(name, parser.next(), 0)
    parser.expect_end()
    return message


def camel(name: str) -> str:
    """Return the JSON name that protobuf gives a field: `order_ids` is `orderIds`."""
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


@cache
def _fields(name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return for each accepted spelling the field's own name and its schema."""
    specs = {**schema(name)["properties"], **LEGACY_FIELDS.get(name, {})}
    return {spelling: (field, spec) for field, spec in specs.items() for spelling in (field, camel(field))}


class _Parser:
    """One pass over the text; every error knows its line and column."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def next(self) -> _Token:
        """Return the next token; raises ProtoError on text that is no JSON."""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            return self._no_token()
        self._at = found.end()
        index = found.lastindex or 1
        return _Token(("string", "number", "literal", "punct")[index - 1], found[index], found.start(index))

    def expect_end(self) -> None:
        """Raise ProtoError if anything follows the message."""
        token = self.next()
        if token.kind != "end":
            self._fail_syntax(token)

    def message(self, name: str, token: _Token, depth: int) -> dict[str, Any]:
        """Read an object of the named schema."""
        if token.raw != "{" or depth > DEPTH_MAX:
            self._fail_syntax(token)
        fields = _fields(name)
        is_open = not schema(name)["properties"]
        values: dict[str, Any] = {}
        token = self.next()
        while token.raw != "}":
            key = self._key(token)
            if is_open:
                values[key] = self.anything(self.next(), depth + 1)
            elif key not in fields:
                self._fail(token, f"unknown field {token.raw}")
            else:
                field, spec = fields[key]
                if field in values:
                    self._fail(token, f"duplicate field {token.raw}")
                if name == "OrderConfiguration" and any(v is not None for v in values.values()):
                    self._fail(token, f"error parsing {token.raw}, oneof order_configuration is already set")
                values[field] = self.value(field, spec, self.next(), depth + 1)
            token = self._after_item("}")
        return {key: value for key, value in values.items() if value is not None}

    def value(self, field: str, spec: dict[str, Any], token: _Token, depth: int, in_list: bool = False) -> Any:
        """Read one value of a field; a null outside a list leaves the field unset."""
        if token.raw == "null" and not in_list:
            return None
        if "anyOf" in spec:
            spec = spec["anyOf"][0]
        if "$ref" in spec:
            name = spec["$ref"].rsplit("/", 1)[1]
            target = schema(name)
            if "properties" in target:
                return self.message(name, token, depth)
            if "enum" in target:
                return self._enum(field, target["enum"], token)
            spec = target
        if spec.get("type") == "array":
            return self._list(field, spec["items"], token, depth)
        return self._scalar(field, spec, token)

    def anything(self, token: _Token, depth: int) -> Any:
        """Read any JSON value: for members whose schema is out of scope."""
        if depth > DEPTH_MAX:
            self._fail_syntax(token)
        if token.raw == "{":
            values = {}
            token = self.next()
            while token.raw != "}":
                key = self._key(token)
                values[key] = self.anything(self.next(), depth + 1)
                token = self._after_item("}")
            return values
        if token.raw == "[":
            items = []
            token = self.next()
            while token.raw != "]":
                items.append(self.anything(token, depth + 1))
                token = self._after_item("]")
            return items
        if token.kind in ("punct", "end"):
            self._fail_syntax(token)
        return self._string(token) if token.kind == "string" else token.raw

    def _key(self, token: _Token) -> str:
        if token.kind != "string":
            self._fail_syntax(token)
        key = self._string(token)
        colon = self.next()
        if colon.raw != ":":
            self._fail_syntax(colon)
        return key

    def _after_item(self, closing: str) -> _Token:
        """Return the closing token, or the token after a comma."""
        token = self.next()
        if token.raw == ",":
            token = self.next()
            if token.raw == closing:
                self._fail_syntax(token)
            return token
        if token.raw != closing:
            self._fail_syntax(token)
        return token

    def _list(self, field: str, item: dict[str, Any], token: _Token, depth: int) -> list[Any]:
        if token.raw != "[":
            self._fail_syntax(token)
        items = []
        token = self.next()
        while token.raw != "]":
            items.append(self.value(field, item, token, depth + 1, in_list=True))
            token = self._after_item("]")
        return items

    def _enum(self, field: str, members: list[str], token: _Token) -> str:
        if token.kind == "number" and token.raw.isdigit() and int(token.raw) < len(members):
            return members[int(token.raw)]
        if token.kind != "string" or (text := self._string(token)) not in members:
            self._fail_value("enum", field, token)
        return text

    def _scalar(self, field: str, spec: dict[str, Any], token: _Token) -> Any:
        kind, form = spec.get("type"), spec.get("format")
        if kind == "boolean":
            if token.raw not in LITERALS:
                self._fail_value("bool", field, token)
            return LITERALS[token.raw]
        if kind == "integer" or form == "int64":
            return self._integer(field, token, "int64" if form == "int64" else "int32")
        if kind == "number":
            if token.kind != "number":
                self._fail_value("double", field, token)
            return token.raw
        if token.kind != "string":
            self._fail_value("string", field, token)
        text = self._string(token)
        if form == "date-time":
            self._check_time(text, token)
        return text

    def _integer(self, field: str, token: _Token, kind: str) -> int:
        digits = token.raw.strip('"')
        limit = INT32_MAX if kind == "int32" else INT64_MAX
        if token.kind not in ("number", "string") or not re.fullmatch(r"-?\d{1,19}", digits) or (
            abs(int(digits)) > limit
        ):
            self._fail_value(kind, field, token)
        return int(digits)

    def _check_time(self, text: str, token: _Token) -> None:
        try:
            if _TIME.fullmatch(text):
                from_iso(text)
                return
        except (ValueError, OverflowError):
            pass
        self._fail(token, f"invalid google.protobuf.Timestamp value {token.raw}")

    def _string(self, token: _Token) -> str:
        if "\\" not in token.raw:
            return token.raw[1:-1]
        text: str = json.loads(token.raw)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._fail(token, f"invalid escape code in string {token.raw}", "syntax error ")
        return text

    def _no_token(self) -> _Token:
        at = _SPACE.match(self._text, self._at)
        start = at.end() if at else self._at
        if start == len(self._text):
            self._at = start
            return _Token("end", "EOF", start)
        odd = _ODD.match(self._text, start)
        raw = odd[0] if odd else self._text[start]
        self._fail(_Token("end", raw, start), f"invalid value {raw}", "syntax error ")

    def _fail_syntax(self, token: _Token) -> NoReturn:
        if token.kind == "end":
            raise ProtoError("proto: syntax error " + self._place(token) + ": unexpected end of input")
        self._fail(token, f"unexpected token {token.raw}", "syntax error ")

    def _fail_value(self, kind: str, field: str, token: _Token) -> NoReturn:
        if token.kind in ("punct", "end"):
            self._fail_syntax(token)
        self._fail(token, f"invalid value for {kind} field {camel(field)}: {token.raw}")

    def _fail(self, token: _Token, what: str, kind: str = "") -> NoReturn:
        raise ProtoError(f"proto: {kind}{self._place(token)}: {what}")

    def _place(self, token: _Token) -> str:
        line = self._text.count("\n", 0, token.start) + 1
        column = token.start - self._text.rfind("\n", 0, token.start)
        return f"(line {line}:{column})"
