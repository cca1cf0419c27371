"""A small HTTP server that plays a piece of the stack: ``python -m tests.local.piece PORT [options]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ready-after-s", type=float, default=0.0)
    parser.add_argument("--end-after-s", type=float)
    parser.add_argument("--state", default="READY")
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--ignore-term", action="store_true")
    given = parser.parse_args()
    if given.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = time.monotonic() - started >= given.ready_after_s
            self.send_response(given.status if ready else 503)
            self.end_headers()
            state = given.state if ready else "STARTING"
            self.wfile.write(json.dumps({"state": state, "models": {"rembg": "the file is gone"}}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", given.port), Handler)
    server.timeout = 0.05
    sys.stdout.write("a line of the log\n")
    sys.stdout.flush()
    while given.end_after_s is None or time.monotonic() - started < given.end_after_s:
        server.handle_request()
    return 3


if __name__ == "__main__":
    sys.exit(main())
