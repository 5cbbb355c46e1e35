"""A form-encoded endpoint with Basic authentication, as of an old CGI program.

It accepts with a 202 that has no body. Duplicates and errors are lines of text with status 200.
"""

from datetime import datetime

from flask import Flask, Response, request

from tests.legacies.servers.served import PASSWORD, USER, Database, arguments, recorded, serve


def application(database: Database) -> Flask:
    app = Flask(__name__)

    @app.post("/cgi-bin/punch")
    def punch() -> Response:
        given = request.authorization
        if not given or (given.username, given.password) != (USER, PASSWORD):
            return Response("password required", 401, {"WWW-Authenticate": 'Basic realm="HR"'})
        form = request.form
        text = f"{form['date']} {form['time']} {form['zone']}"
        at = datetime.strptime(text, "%d/%m/%Y %H:%M:%S %z").isoformat()
        try:
            is_new = database.add(form["ref"], int(form["badge"]), at)
        except LookupError as error:
            return Response(f"ERROR {error.args[0]}\r\n", mimetype="text/plain")
        return Response(status=202) if is_new else Response("DUPLICATE\r\n", mimetype="text/plain")

    return app


def main() -> None:
    options = arguments(__doc__)
    database = Database(options.database)
    serve(recorded(application(database), database), options.port)


if __name__ == "__main__":
    main()
