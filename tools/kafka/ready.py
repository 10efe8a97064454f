"""Waits until the Kafka broker at HOST:PORT serves: ready.py HOST:PORT PID SECONDS.

A Metadata request (version 4) is repeated until its answer lists a broker: an open port is not
enough, and a broker lists itself only once it has registered with the controller. Exit status 1
when process PID ends or SECONDS pass before that.
"""

import os
import socket
import struct
import sys
import time

METADATA_KEY, METADATA_VERSION, CORRELATION = 3, 4, 1


def brokers(host: str, port: int) -> int:
    """How many brokers the one at host:port knows."""
    no_client_id, no_topics, no_auto_creation = -1, 0, 0
    request = struct.pack(
        ">hhihi?", METADATA_KEY, METADATA_VERSION, CORRELATION, no_client_id, no_topics, no_auto_creation
    )
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            _size, correlation, _throttle_ms, count = struct.unpack(">iiii", answer.read(16))
    return count if correlation == CORRELATION else 0


def main() -> int:
    address, pid, seconds = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        try:
            os.kill(int(pid), 0)
        except OSError:
            return 1
        try:
            if brokers(host, int(port)) > 0:
                return 0
        except (OSError, struct.error):
            pass
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    sys.exit(main())
