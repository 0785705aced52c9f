"""The served venue in a thread of this process: for tests, and for whoever wants no second process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.server import VenueServer
from trading_core.advanced_trade.server_config import ReadyLine, ServeConfig
from trading_core.errors import VenueUnavailable

T = TypeVar("T")
START_S_MAX = 60.0
STOP_S_MAX = 10.0


class ServerThread:
    """A running venue: `with ServerThread(config, keys) as server: …`; `server.ready` has its addresses."""

    ready: ReadyLine

    def __init__(self, config: ServeConfig, keys: KeyRegistry) -> None:
        self._config = config
        self._keys = keys
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._server: VenueServer | None = None
        self._thread = threading.Thread(target=self._run, name="venue", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_S_MAX):
            raise VenueUnavailable(f"the venue did not start within {START_S_MAX:.0f} s: see its log")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(STOP_S_MAX)
        if self._failure is not None and error is None:
            raise self._failure

    def call(self, act: Callable[[VenueServer], T]) -> T:
        """Run `act` on the venue's own thread and return its result: the exchange is not thread safe."""

        async def run() -> T:
            if self._server is None:
                raise VenueUnavailable("the venue is not running: enter the context first")
            return act(self._server)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(STOP_S_MAX)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            self._server = VenueServer(self._config, self._keys)
            async with self._server.running() as self.ready:
                self._started.set()
                await self._server.run_until(self._is_over)
        except BaseException as e:
            # Whatever stopped the venue belongs to the thread that started it.
            self._failure = e
            self._started.set()
