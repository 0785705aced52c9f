"""A file system in memory for fsspec, under fault://, that fails as stores of others do: refuses, cuts off, hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

ADDRESS = "fault://operator:hunter2hunter2@store.example/runs?token=abcdef123456"
SHOWN = "fault://store.example/runs"


class FaultFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Keeps files in memory and does what its faults say. `written` has the paths in the order of writing."""

    protocol = "fault"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    written: ClassVar[list[str]] = []
    refuses: ClassVar[str] = ""  # the end of the paths that cannot be written
    cuts: ClassVar[str] = ""  # the end of the paths of which the last byte is lost
    hangs: ClassVar[threading.Event | None] = None  # writes wait for it

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("fault://", "memory://").partition("?")[0]))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file, or fail."""
        if self.hangs is not None:
            self.hangs.wait()
        if self.refuses and path.endswith(self.refuses):
            raise RuntimeError(f"access denied to {ADDRESS} for operator with hunter2hunter2")
        self.written.append(path)
        cut = value[:-1] if self.cuts and path.endswith(self.cuts) else value
        super().pipe_file(path, cut, mode=mode, **kwargs)


@contextmanager
def fault_file_system() -> Iterator[type[FaultFileSystem]]:
    """Register the file system, empty and healthy, and forget what it did afterwards."""
    fsspec.register_implementation("fault", FaultFileSystem, clobber=True)
    try:
        yield FaultFileSystem
    finally:
        if FaultFileSystem.hangs is not None:
            FaultFileSystem.hangs.set()
        FaultFileSystem.store.clear()
        FaultFileSystem.written.clear()
        FaultFileSystem.pseudo_dirs[:] = [""]
        FaultFileSystem.refuses = FaultFileSystem.cuts = ""
        FaultFileSystem.hangs = None
