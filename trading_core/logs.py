"""Structured logs: one JSON object a line, with the run's id, and never a secret."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from trading_core.clock import iso
from trading_core.errors import StorageError

LOG_BYTES_MAX = 20_000_000
LOG_FILES_MAX = 5
REDACTED = "[redacted]"
SECRET_LETTERS_MIN = 8  # a shorter "secret" would redact half of every line
OURS = ("trading_core", "checks", "tasks", "flows")
# What a secret looks like, whoever logs it: PEM blocks, signed tokens, bearer headers, passwords in addresses.
PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(\.[\w-]*)?"),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class Redactor:
    """Takes known secrets, and whatever looks like one, out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part.strip() for secret in secrets for part in (secret, *secret.split("\n"), *secret.split("\\n"))}
        self._secrets = sorted((p for p in parts if len(p) >= SECRET_LETTERS_MIN), key=len, reverse=True)

    def redact(self, text: str) -> str:
        """Return the text without secrets."""
        for pattern in PATTERNS:
            text = pattern.sub(REDACTED, text)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, event, then its fields."""

    def __init__(self, redactor: Redactor, **always: str) -> None:
        super().__init__()
        self._redactor = redactor
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted as a whole: no field can slip past."""
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line = {
            "ts": iso(int(record.created * 1e6) * 1000), "level": record.levelname, "logger": record.name,
            "event": self._redactor.redact(record.getMessage()), **self._always,
            **{key: self._clean(value) for key, value in fields.items()},
        }
        if record.exc_info:
            line["error"] = self._redactor.redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def _clean(self, value: object) -> object:
        return value if isinstance(value, int) else self._redactor.redact(str(value))


@contextmanager
def logging_to(path: Path, redactor: Redactor, **always: str) -> Iterator[None]:
    """Write what our packages log to the file, and nowhere else, while the block runs.

    Raises StorageError if it cannot be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_MAX, encoding="utf-8")
    except OSError as e:
        raise StorageError(f"log {path} cannot be written ({e.strerror}): make its folder writable") from e
    handler.setFormatter(JsonLines(redactor, **always))
    loggers = [logging.getLogger(name) for name in OURS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the root's handler would print events without their fields
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()
