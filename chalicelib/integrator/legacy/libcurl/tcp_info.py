"""Ask the system how many bytes a connection has received (Linux: TCP_INFO, tcp(7))."""

import socket
import struct

# In ``struct tcp_info`` of <linux/tcp.h>, since Linux 4.1: tcpi_bytes_received.
_RECEIVED = struct.Struct("=128xQ")
_TCP_INFO: int = getattr(socket, "TCP_INFO", 0)  # 0: only Linux has it, in this form


def received_bytes(fd: int) -> int | None:
    """Return how many bytes a TCP connection has received since it was opened; None if unknown.

    Args:
        fd: the descriptor of its socket.
    """
    if fd == -1 or not _TCP_INFO:
        return None
    try:
        # With the family and the type, Python does not ask the system for them.
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=fd)
        try:
            answer = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RECEIVED.size)
        finally:
            connection.detach()  # it belongs to libcurl
    except OSError:
        return None
    if len(answer) < _RECEIVED.size:
        return None
    (count,) = _RECEIVED.unpack(answer)
    return int(count)
