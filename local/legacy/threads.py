"""Bind a thread to each open connection, as old application servers do."""

import asyncio
from collections import deque

from aiohttp import web

from local.legacy.settings import ThreadPerConnection

Connection = web.RequestHandler


class ConnectionThreads:
    """Threads that are each bound to one connection, until it has been idle for a time.

    A call on a connection without a thread waits for one, whether or not bound connections are
    idle. If its client disconnects meanwhile, it is never worked on. Work that has begun is
    completed, and keeps its thread, even if its client has disconnected.
    """

    def __init__(self, settings: ThreadPerConnection | None) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        # The bound connections, and what unbinds them once they have been idle for too long.
        self._bound: dict[Connection, asyncio.TimerHandle | None] = {}
        self._working: set[Connection] = set()
        self._waiting: deque[tuple[Connection, asyncio.Future[None]]] = deque()

    def restart(self, settings: ThreadPerConnection | None) -> None:
        """Forget all bindings, and let every waiting call go on."""
        self._settings = settings
        for idle in self._bound.values():
            if idle:
                idle.cancel()
        self._bound.clear()
        for _, thread in self._waiting:
            if not thread.done():
                thread.set_result(None)
        self._waiting.clear()

    async def bind(self, connection: Connection) -> None:
        """Return when the connection has a thread, or needs none."""
        if self._settings is None:
            return
        if connection in self._bound:
            if idle := self._bound[connection]:
                idle.cancel()
            self._bound[connection] = None
            return
        if len(self._bound) < self._settings.threads:
            self._bound[connection] = None
            return
        waiting = connection, self._loop.create_future()
        self._waiting.append(waiting)
        try:
            await waiting[1]
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it got its thread at the same instant
                self._free(connection)
            raise

    def begin_work(self, connection: Connection) -> None:
        """Keep the thread even if the client disconnects."""
        self._working.add(connection)

    def end_work(self, connection: Connection, *, is_gone: bool) -> None:
        """Free the thread if the client has disconnected."""
        self._working.discard(connection)
        if is_gone:
            self._free(connection)

    def rest(self, connection: Connection, response: web.StreamResponse) -> None:
        """Close the connection after the response, or once it has been idle for too long."""
        if self._settings is None or connection not in self._bound:
            return
        if self._settings.keep_alive_s:
            delay_s = self._settings.keep_alive_s
            self._bound[connection] = self._loop.call_later(delay_s, self._close, connection)
        else:
            response.force_close()

    def lost(self, connection: Connection) -> None:
        """Free the thread of a closed connection, unless it still works on a call."""
        if connection not in self._working:
            self._free(connection)

    def _close(self, connection: Connection) -> None:
        if connection.transport:
            connection.transport.close()
        self._free(connection)

    def _free(self, connection: Connection) -> None:
        if connection not in self._bound:
            return
        if idle := self._bound.pop(connection):
            idle.cancel()
        while self._waiting:
            connection, thread = self._waiting.popleft()
            if not thread.done():  # else its client has disconnected
                self._bound[connection] = None
                thread.set_result(None)
                break
