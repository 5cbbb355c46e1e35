"""A server with few threads for its connections: Paste, cheroot or gunicorn.

Paste binds each connection to a thread until it is closed, or the server's timeout ends it. Further
connections wait for a thread meanwhile, even if nothing is sent. cheroot and gunicorn hand an idle
connection back, so that its thread serves another.
"""

import time
from pathlib import Path
from typing import Any

from cheroot.wsgi import Server as CherootServer
from flask import Flask, request
from gunicorn.app.base import BaseApplication
from paste import httpserver

from tests.legacies.servers.served import (
    Database,
    announce,
    arguments,
    local_time,
    recorded,
)


def application(database: str, latency_s: float) -> Any:
    app = Flask(__name__)
    punches = Database(database)

    @app.post("/punches")
    def punch() -> tuple[dict[str, Any], int]:
        time.sleep(latency_s)
        document = request.get_json()
        key = request.headers["Idempotency-Key"]
        try:
            punches.add(key, document["employeeId"], local_time(document))
        except LookupError as error:
            return {"message": str(error.args[0])}, 422
        return {"message": "success"}, 200

    return recorded(app, punches)


class Gunicorn(BaseApplication):  # type: ignore[misc]  # it has no types
    """One worker process, whose threads share its connections."""

    def __init__(self, options: Any) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        url = f"http://127.0.0.1:{self._options.port}"
        settings = {
            "bind": url.removeprefix("http://"),
            "threads": self._options.threads,
            "keepalive": 60,
            "loglevel": "warning",
            "worker_tmp_dir": str(Path(self._options.database).parent),
            "post_worker_init": lambda _: announce(url),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return application(self._options.database, self._options.latency)


def serve_paste(options: Any) -> None:
    server = httpserver.serve(
        application(options.database, options.latency),
        "127.0.0.1",
        str(options.port),
        protocol_version="HTTP/1.1",  # keeps connections
        threadpool_workers=options.threads,
        threadpool_options={"spawn_if_under": 1},
        request_queue_size=128,
        start_loop=False,
    )
    announce(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def serve_cheroot(options: Any) -> None:
    threads = options.threads
    server = CherootServer(
        ("127.0.0.1", options.port),
        application(options.database, options.latency),
        numthreads=threads,
        max=threads,
        timeout=60,
        request_queue_size=128,
    )
    server.prepare()
    announce(f"http://127.0.0.1:{options.port}")
    server.serve()


def serve_gunicorn(options: Any) -> None:
    Gunicorn(options).run()


SERVERS = {"paste": serve_paste, "cheroot": serve_cheroot, "gunicorn": serve_gunicorn}


def main() -> None:
    options = arguments(__doc__, threads=5, latency=0.05, server="paste")
    SERVERS[options.server](options)


if __name__ == "__main__":
    main()
