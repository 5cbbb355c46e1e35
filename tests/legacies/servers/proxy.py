"""A forward proxy (proxy.py). It alone can resolve ``hr.example``, as in a private network."""

import signal

from proxy import Proxy
from proxy.http.proxy import HttpProxyBasePlugin

from tests.legacies.servers.served import PASSWORD, USER, announce, arguments


class PrivateNames(HttpProxyBasePlugin):
    """Resolve the names of ``hr.example`` to this machine."""

    def resolve_dns(self, host: str, _: int) -> tuple[str | None, tuple[str, int] | None]:
        return "127.0.0.1" if host.endswith("hr.example") else None, None


def main() -> None:
    options = arguments(__doc__, authenticated=0)
    flags = ["--hostname", "127.0.0.1", "--port", str(options.port)]
    flags += ["--num-workers", "1", "--num-acceptors", "1", "--log-level", "w"]
    flags += ["--plugins", f"{__spec__.name}.{PrivateNames.__name__}"]
    if options.authenticated:
        flags += ["--basic-auth", f"{USER}:{PASSWORD}"]
    with Proxy(flags) as proxy:
        announce(f"http://127.0.0.1:{proxy.flags.port}")
        signal.pause()


if __name__ == "__main__":
    main()
