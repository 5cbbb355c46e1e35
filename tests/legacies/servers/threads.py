"""A server that gives each connection a thread of its own and keeps it (Paste), with few threads.

A kept connection occupies its thread even while nothing is sent. Further connections wait for a
thread: until a kept one is closed, or the server's timeout ends it.
"""

import time
from typing import Any

from flask import Flask, request
from paste import httpserver

from tests.legacies.servers.served import (
    Database,
    announce,
    arguments,
    local_time,
    recorded,
)


def application(database: Database, latency_s: float) -> Flask:
    app = Flask(__name__)

    @app.post("/punches")
    def punch() -> tuple[dict[str, Any], int]:
        time.sleep(latency_s)
        document = request.get_json()
        key = request.headers["Idempotency-Key"]
        try:
            database.add(key, document["employeeId"], local_time(document))
        except LookupError as error:
            return {"message": str(error.args[0])}, 422
        return {"message": "success"}, 200

    return app


def main() -> None:
    options = arguments(__doc__, threads=5, latency=0.05)
    database = Database(options.database)
    server = httpserver.serve(
        recorded(application(database, options.latency), database),
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


if __name__ == "__main__":
    main()
