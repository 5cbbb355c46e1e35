"""``chalice local`` by itself finds the stack that ``make run`` starts."""

import json
from urllib.parse import urlsplit

from local.attach import environment
from local.process import PROJECT
from local.stack import USUAL_PORTS


def test_the_dev_stage_is_the_default_stack() -> None:
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    dev = config["stages"]["dev"]["environment_variables"]
    host = {name: f"127.0.0.1:{port}" for name, port in USUAL_PORTS.items()}
    password_file = f"postgresql://punchclock@{host['postgres']}/punchclock?passfile=.local/pgpass"
    assert dev == environment(
        {
            "postgres": password_file,
            "dynamodb": f"http://{host['dynamodb']}",
            "legacy": f"http://{host['legacy']}",
            "pids": {"dynamodb": 1, "legacy": 1},
            "log": ".local/log/api.log",
            "jwt_key": ".local/jwt.key",
        }
    )


def test_no_stage_but_dev_holds_a_password_or_key() -> None:
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    dev = config["stages"].pop("dev")["environment_variables"]
    assert urlsplit(dev["DATABASE_URL"]).password is None
    assert not [word for word in ("PASSWORD", "SECRET", "ACCESS_KEY") if word in json.dumps(config)]
