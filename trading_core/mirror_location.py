"""Where runs are kept a second time: any address that fsspec knows, such as file:///mnt/runs or s3://bucket/runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from fsspec import get_filesystem_class

from trading_core.errors import ConfigurationError

MIRROR_VARIABLE = "ARTIFACTS_URL"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_REMEDY = "write file:///FOLDER or s3://BUCKET/FOLDER, or unset it to keep runs on this machine only"


def without_secrets(text: str) -> str:
    """Return the address as it may be shown; raises ConfigurationError for one that cannot be used here.

    >>> without_secrets("ftp://me:secret@store.example/runs/?token=1")
    'ftp://store.example/runs'
    """
    # No message here repeats the text, and none is raised "from" one that does: it may have a password.
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigurationError(f"{MIRROR_VARIABLE} is no address: {_REMEDY}") from None
    place = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
    if not _SCHEME.fullmatch(parts.scheme) or "::" in text or not place:
        raise ConfigurationError(f"{MIRROR_VARIABLE} is no address of a folder: {_REMEDY}")
    try:
        get_filesystem_class(parts.scheme)
    except ValueError:
        raise ConfigurationError(f"{MIRROR_VARIABLE} begins with {parts.scheme}://, unknown here: {_REMEDY}") from None
    except ImportError as e:
        raise ConfigurationError(f"{MIRROR_VARIABLE} is of {parts.scheme}://, which needs a package: {e}") from None
    return f"{parts.scheme}://{place}"


def secret_address(shown: str, environ: Mapping[str, str]) -> str:
    """Return the address to open, with its password if the environment has one for this very address."""
    given = environ.get(MIRROR_VARIABLE, "").strip()
    return given if given and without_secrets(given) == shown else shown


def scrubbed(words: str, address: str) -> str:
    """Return words of somebody else's library without what the address has of secrets."""
    parts = urlsplit(address)
    words = words.replace(address, without_secrets(address))
    of_query = (value for _, value in parse_qsl(parts.query))
    for secret in (parts.netloc.rpartition("@")[0], parts.password or "", parts.username or "", parts.query, *of_query):
        for form in {secret, unquote(secret)} - {""}:
            words = words.replace(form, "…")
    return words
