"""A SOAP 1.1 server: spyne, with the lxml validator, as its manual recommends.

It answers with a fault for a duplicate, for an unknown employee, and once for its busy employee.
``--fault-status`` is that of SOAP 1.1, 500, or 200, as many servers have it.
"""

import importlib
import sys
from datetime import datetime
from typing import Any

# Python 3.12 and newer cannot import the module ``moves`` of the six that spyne brings.
for module in ("collections_abc", "http_cookies", "urllib.parse"):
    moved = importlib.import_module(f"six.moves.{module}")
    sys.modules[f"spyne.util.six.moves.{module}"] = moved

from spyne import Application, DateTime, Fault, Integer, ServiceBase, Unicode, rpc  # noqa: E402
from spyne.protocol.soap import Soap11  # noqa: E402
from spyne.server.wsgi import WsgiApplication  # noqa: E402

from tests.legacies.servers.served import BUSY_EMPLOYEE, Database, arguments, recorded, serve  # noqa: E402

NAMESPACE = "urn:hr.example:clock"


def service(database: Database) -> type[ServiceBase]:
    busy = [BUSY_EMPLOYEE]

    class Clock(ServiceBase):  # type: ignore[misc]
        @rpc(
            Unicode(min_occurs=1, nillable=False),
            Integer(min_occurs=1, nillable=False),
            DateTime(min_occurs=1, nillable=False),
            _returns=Unicode,
            _out_variable_name="Result",
        )  # type: ignore[untyped-decorator]
        def RegisterPunch(ctx: Any, Key: str, Employee: int, At: datetime) -> str:  # noqa: N802, N803, N805
            if Employee in busy:
                busy.remove(Employee)
                raise Fault("Server.Busy", "try again later")
            try:
                if not database.add(Key, Employee, At.isoformat()):
                    raise Fault("Client.AlreadyRegistered", f"punch {Key} is already registered")
            except LookupError as error:
                raise Fault("Client.UnknownEmployee", str(error.args[0])) from error
            return "registered"

    return Clock


class FaultStatus(Soap11):  # type: ignore[misc]
    """SOAP 1.1 whose faults have another status than 500."""

    status = ""

    def fault_to_http_response_code(self, _: Fault) -> str:
        return self.status


def main() -> None:
    options = arguments(__doc__, **{"fault-status": "500 Internal Server Error"})
    database = Database(options.database)
    answers = FaultStatus()
    answers.status = options.fault_status
    application = Application(
        [service(database)], NAMESPACE, in_protocol=Soap11(validator="lxml"), out_protocol=answers
    )
    serve(recorded(WsgiApplication(application), database), options.port)


if __name__ == "__main__":
    main()
