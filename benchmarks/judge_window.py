"""What the client's window costs: requests to a server that takes half a second for each, against the ideal.

The server is a process of its own, so that it takes no time from the client's.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.generation import Question
from rmbench.models.servers.key import ApiKey

SECONDS, REQUESTS, WINDOW, LIMIT = 0.5, 640, 64, 1.3
ANSWER = json.dumps(
    {"choices": [{"message": {"content": "[[A]]"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 900}}
).encode()


class Handler(BaseHTTPRequestHandler):
    """Waits, and answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Any route."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SECONDS)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Takes a whole window of connections at once."""

    daemon_threads = True
    request_queue_size = 2 * WINDOW


def serve(told: Connection) -> None:
    """Serve until the process is ended; the port is sent first."""
    server = Server(("127.0.0.1", 0), Handler)
    told.send(server.server_address[1])
    server.serve_forever()


def measure(port: int) -> float:
    """Seconds for all requests at the window, of answers of about 3,500 letters of prompt each."""
    client = Client([f"http://127.0.0.1:{port}/v1"], ApiKey("OPENAI_API_KEY"))
    backend = ServerBackend(client, "stub", Capabilities(), "stub")
    text = "Which of these two answers is better? " * 92
    questions = [
        Question("window", str(number), (0, 1), 0, ({"role": "user", "content": f"{number} {text}"},))
        for number in range(REQUESTS)
    ]
    began = time.perf_counter()
    with ThreadPoolExecutor(WINDOW) as pool:
        replies = list(pool.map(backend.ask, questions))
    taken = time.perf_counter() - began
    backend.close()
    if any(reply.text != "[[A]]" for reply in replies):
        raise SystemExit(f"not every request was answered: {next(r.error for r in replies if r.error)}")
    return taken


def main() -> None:
    """Print the figure; exit status 1 where it is over the limit."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    ideal = REQUESTS * SECONDS / WINDOW
    taken = measure(ours.recv())
    process.kill()
    print(
        f"{REQUESTS} requests of {SECONDS:g} s at a window of {WINDOW}: {taken:.2f} s, {taken / ideal:.3f} times the "
        f"ideal {ideal:g} s (load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)"
    )
    sys.exit(taken > LIMIT * ideal)


if __name__ == "__main__":
    main()
