"""A REST endpoint with HTTPS of a private CA (cheroot, Flask).

With ``--ca``, it demands a client certificate of this CA. It answers ``{"ok": true}`` or
``{"ok": false, "error": …}``, both with status 200.
"""

import ssl
from typing import Any

from cheroot.ssl.builtin import BuiltinSSLAdapter
from flask import Flask, request

from tests.legacies.servers.served import Database, arguments, local_time, recorded, serve


def application(database: Database) -> Flask:
    app = Flask(__name__)

    @app.post("/punches")
    def punch() -> dict[str, Any]:
        document = request.get_json()
        key = request.headers["Idempotency-Key"]
        try:
            is_new = database.add(key, document["employeeId"], local_time(document))
        except LookupError as error:
            return {"ok": False, "error": str(error.args[0])}
        return {"ok": True} if is_new else {"ok": True, "duplicate": True}

    return app


def main() -> None:
    options = arguments(__doc__, certificate="", key="", ca="")
    database = Database(options.database)
    tls = BuiltinSSLAdapter(options.certificate, options.key)
    if options.ca:
        tls.context.load_verify_locations(options.ca)
        tls.context.verify_mode = ssl.CERT_REQUIRED
    serve(recorded(application(database), database), options.port, tls)


if __name__ == "__main__":
    main()
