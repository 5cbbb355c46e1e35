"""Serve the simulated legacy HR system over HTTP/1.1 with keep-alive, in one process.

The integrator calls ``POST /point-records``. The person or test that runs the legacy uses ``GET``
and ``PUT /settings``, ``GET /report``, ``GET /report/keys`` and ``POST /reset``. These work during
a brown-out or an outage too, unless the outage refuses connections.

Requests of web pages, which have an ``Origin``, are refused: any page that its user opens could
reset the ledger.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from chalicelib.errors import InvalidError
from chalicelib.strict_json import load_json
from local.legacy.ledger import Ledger
from local.legacy.system import LegacySystem, reset_connection
from local.legacy.threads import Connection, ConnectionThreads

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def serve(host: str, port: int, journal: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; print one JSON line with the URL when ready.

    Args:
        host: the address to listen on.
        port: 0: any free port.
        journal: file that stores the accepted records beyond the end of the process.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = Server(Ledger(journal))
    url = await server.open(host, port)
    print(json.dumps({"url": url}), flush=True)
    await stopped.wait()
    await server.close()


class _HttpServer(web.Server):
    """Tells the threads which connections are closed."""

    def __init__(self, route: Handler, threads: ConnectionThreads) -> None:
        super().__init__(route, handler_cancellation=True, access_log=None)
        self._threads = threads

    def connection_lost(self, handler: Connection, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._threads.lost(handler)


class Server:
    """The routes, and the listening socket, which an outage may close for some time."""

    def __init__(self, ledger: Ledger) -> None:
        self._legacy = LegacySystem(ledger)
        self._routes: dict[str, dict[str, Handler]] = {
            "/point-records": {"POST": self._legacy.point_record},
            "/settings": {"GET": self._show_settings, "PUT": self._change_settings},
            "/report": {"GET": self._report},
            "/report/keys": {"GET": self._report_keys},
            "/reset": {"POST": self._reset},
        }
        # If a client disconnects, the handler is cancelled, but the work on the call goes on.
        self._http = _HttpServer(self._route, self._legacy.threads)
        self._listener: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> str:
        """Start to listen, and return the URL."""
        self._socket = _bind(host, port)
        await self._listen()
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._reopening:
            self._reopening.cancel()
        if self._listener:
            self._listener.close()
        self._socket.close()
        await self._http.shutdown(timeout=0.1)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Origin" in request.headers:
            return web.json_response({"message": "Web pages have no access"}, status=403)
        methods = self._routes.get(request.path)
        if methods is None:
            return web.json_response({"message": f"{request.path} does not exist"}, status=404)
        handler = methods.get(request.method)
        if handler is None:
            allow = ", ".join(methods)
            return web.json_response(
                {"message": f"{request.path} supports only {allow}"},
                status=405,
                headers={"Allow": allow},
            )
        return await handler(request)

    async def _show_settings(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(asdict(self._legacy.settings))

    async def _change_settings(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = load_json(await request.read())
            self._legacy.change(body)
        except InvalidError as error:
            return web.json_response({"message": error.message}, status=400)
        if "outage" in body:
            await self._follow_outage(request)
        return web.json_response(asdict(self._legacy.settings))

    async def _report(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(self._legacy.ledger.report())

    async def _report_keys(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        for lines in self._legacy.ledger.accepted_ids():
            await response.write(lines.encode())
        return response

    async def _reset(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._legacy.reset()
        return web.json_response({"message": "success"})

    async def _follow_outage(self, request: web.BaseRequest) -> None:
        """Close the listening socket during an outage that refuses connections; else reopen it."""
        if self._reopening:
            self._reopening.cancel()
            self._reopening = None
        outage = self._legacy.settings.outage
        if outage and outage.fault == "refuse":
            self._refuse(keep=request.transport)
            self._reopening = asyncio.create_task(self._listen(after_s=outage.for_s or 0))
        else:
            await self._listen()

    def _refuse(self, keep: asyncio.BaseTransport | None) -> None:
        """Refuse new connections and reset all but one.

        The port stays reserved: another socket is bound to it, but does not listen.
        """
        if self._listener:
            host, port = self._socket.getsockname()[:2]
            self._listener.close()
            self._listener = None
            self._socket = _bind(host, port)
        for connection in self._http.connections:
            if connection.transport is not keep:
                reset_connection(connection.transport)

    async def _listen(self, after_s: float = 0) -> None:
        await asyncio.sleep(after_s)
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._http, sock=self._socket, backlog=1024)


def _bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock
