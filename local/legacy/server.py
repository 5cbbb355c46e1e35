"""The simulated legacy HR system as an HTTP/1.1 server with keep-alive, in one process.

``POST /point-records`` is what the integrator calls. ``GET`` and ``PUT /settings``,
``GET /report``, ``GET /report/keys`` and ``POST /reset`` are for whoever runs it and answer in a
brown-out or an outage too, except that one that refuses lets nobody in.
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
from local.legacy.system import Legacy, reset

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def serve(host: str, port: int, journal: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; print one JSON line with the URL once ready.

    Args:
        port: 0 takes any free one.
        journal: file in which accepted records outlive the process.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = Server(Ledger(journal))
    url = await server.open(host, port)
    print(json.dumps({"url": url}), flush=True)
    await stopped.wait()
    await server.close()


class Server:
    """Routes, and the door: the listening socket, which an outage may close for a while."""

    def __init__(self, ledger: Ledger) -> None:
        self._legacy = Legacy(ledger)
        self._routes: dict[str, dict[str, Handler]] = {
            "/point-records": {"POST": self._legacy.point_record},
            "/settings": {"GET": self._show_settings, "PUT": self._change_settings},
            "/report": {"GET": self._report},
            "/report/keys": {"GET": self._report_keys},
            "/reset": {"POST": self._reset},
        }
        # A call whose client hangs up is cancelled; the work on it goes on.
        self._http = web.Server(self._route, handler_cancellation=True, access_log=None)
        self._listener: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> str:
        """Start to listen and return the URL."""
        self._door = _bind(host, port)
        await self._listen()
        host, port = self._door.getsockname()[:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._reopening:
            self._reopening.cancel()
        if self._listener:
            self._listener.close()
        self._door.close()
        await self._http.shutdown(timeout=0.1)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        methods = self._routes.get(request.path)
        if methods is None:
            return web.json_response({"message": f"there is no {request.path}"}, status=404)
        handler = methods.get(request.method)
        if handler is None:
            allow = ", ".join(methods)
            return web.json_response(
                {"message": f"{request.path} takes {allow}"}, status=405, headers={"Allow": allow}
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
        """Shut the door for an outage that refuses, or open it again."""
        if self._reopening:
            self._reopening.cancel()
            self._reopening = None
        outage = self._legacy.settings.outage
        if outage and outage.fault == "refuse":
            self._shut(keep=request.transport)
            self._reopening = asyncio.create_task(self._listen(after_s=outage.for_s or 0))
        else:
            await self._listen()

    def _shut(self, keep: asyncio.BaseTransport | None) -> None:
        """Refuse new connections and reset all but one. The port stays ours: bound, unheard."""
        if self._listener:
            host, port = self._door.getsockname()[:2]
            self._listener.close()
            self._listener = None
            self._door = _bind(host, port)
        for connection in self._http.connections:
            if connection.transport is not keep:
                reset(connection.transport)

    async def _listen(self, after_s: float = 0) -> None:
        await asyncio.sleep(after_s)
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._http, sock=self._door, backlog=1024)


def _bind(host: str, port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind((host, port))
    return door
