"""Ticks in blocks: a row per tick would be the wrong shape for millions of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import zstandard

from trading_core.canonical import sha256_hex
from trading_core.clock import NS
from trading_core.events import Tick, encode_lines

BLOCK_TICKS_MAX = 1_000
BLOCK_SPAN_NS = 10 * NS  # venue time; a quiet market must not keep its ticks out of the store for long
ZSTD_LEVEL = 1
CODEC = "zstd-lines-1"  # one line per tick: the seq of the event before it, a space, canonical JSON
CODECS: Mapping[str, Callable[[bytes], bytes]] = {
    CODEC: zstandard.decompress,
    "zlib-lines-1": zlib.decompress,  # stores of older builds: the same lines
}

_decoder: msgspec.json.Decoder[Tick] = msgspec.json.Decoder(Tick)


class TicksStored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The event that ties a block to the chain; sha256 is over the unpacked lines."""

    ts_ns: int
    n: int
    ts_min_ns: int
    ts_max_ns: int
    sha256: str


class PlacedTick(NamedTuple):
    """A tick and the seq of the event that came before it: the exact order of the run."""

    after_seq: int
    tick: Tick


class OpenBlock:
    """Collects ticks until the block is full. Blocks are cut by count and venue time, never by the wall clock."""

    def __init__(self) -> None:
        self._ticks: list[Tick] = []
        self._after_seqs: list[int] = []  # of each tick
        self.after_seq = 0  # the event before the first tick, once there is one
        self._ts_first_ns = self._ts_min_ns = self._ts_max_ns = 0
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, after_seq: int, tick: Tick) -> bool:
        """Add a tick; return whether the block is now full."""
        ts_ns = tick.ts_ns
        ticks = self._ticks
        if not ticks:
            self.after_seq = after_seq
            self._ts_first_ns = self._ts_min_ns = self._ts_max_ns = ts_ns
        elif ts_ns > self._ts_max_ns:
            self._ts_max_ns = ts_ns
        elif ts_ns < self._ts_min_ns:
            self._ts_min_ns = ts_ns
        ticks.append(tick)  # encoded with the others, when the block is cut
        self._after_seqs.append(after_seq)
        return len(ticks) >= BLOCK_TICKS_MAX or ts_ns - self._ts_first_ns >= BLOCK_SPAN_NS

    def take(self) -> tuple[TicksStored, bytes]:
        """Return the block's event and its packed data, and start over."""
        lines = encode_lines(self._ticks).splitlines()
        raw = b"\n".join([b"%d %b" % placed for placed in zip(self._after_seqs, lines, strict=True)])
        stored = TicksStored(
            ts_ns=self._ts_max_ns,
            n=len(self._ticks),
            ts_min_ns=self._ts_min_ns,
            ts_max_ns=self._ts_max_ns,
            sha256=sha256_hex(raw),
        )
        self._ticks, self._after_seqs = [], []
        return stored, self._compressor.compress(raw)


def unpack(codec: str, data: bytes) -> Iterator[PlacedTick]:
    """Yield the ticks of a block in their order; raises ValueError if it cannot be read."""
    for line in _lines(codec, data).split(b"\n"):
        after_seq, _, payload = line.partition(b" ")
        yield PlacedTick(int(after_seq), _decoder.decode(payload))


def block_sha256(codec: str, data: bytes) -> str:
    """Return the sha256 over the unpacked lines; raises ValueError if they cannot be unpacked."""
    return sha256_hex(_lines(codec, data))


def _lines(codec: str, data: bytes) -> bytes:
    if codec not in CODECS:
        raise ValueError(f"no codec is called {codec!r}")
    try:
        return CODECS[codec](data)
    except (zstandard.ZstdError, zlib.error, TypeError) as e:
        raise ValueError(str(e)) from e
