# ruff: noqa: INP001
"""A server that speaks Chat Completions on loopback: three models of different pace, for the picture of a race.

Knows what they say and when. Must not know: who asks.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

PORT = 8000

ANSWER = r"""## Why rivers meander

A straight channel is *unstable*: at the slightest bend, water runs faster along the outside.

| bank | water | what happens |
|:--|:--|:--|
| outer | fast and deep | **erodes**, so that the bend grows |
| inner | slow and shallow | drops its sand: a point bar |

What comes out is close to the curve that bends least:

$$\theta(s) = \omega \sin\frac{2\pi s}{M}$$

```python
s = np.linspace(0, 2, 400)
theta = 1.9 * np.sin(2 * np.pi * s)  # radians along the river
```

Loops tighten until a flood cuts through the neck and leaves an oxbow lake behind.
"""

PACES_S = {"brook": (0.25, 0.026), "delta": (0.9, 0.009), "glacier": (0.55, 0.035)}
"""Of each model: to its first piece, and between two."""


class Server(http.server.BaseHTTPRequestHandler):
    """Chat Completions: the same answer each time, at the pace of the model."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Stream the answer."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in spoken(asked["model"]):
                self._write(f"data: {json.dumps(event)}\n\n")
            self._write("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the page was closed
            self.close_connection = True

    def _write(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def spoken(model: str) -> Iterator[dict[str, Any]]:
    """The events of an answer, each when it is due."""
    ttft_s, gap_s = PACES_S[model]
    time.sleep(ttft_s)
    for n, piece in enumerate(re.findall(r"\w+\s*|\W", ANSWER), 1):
        usage = {"prompt_tokens": 7, "completion_tokens": n}
        yield {"model": model, "choices": [{"index": 0, "delta": {"content": piece}}], "usage": usage}
        time.sleep(gap_s * (0.5 + n * 79 % 100 / 100))  # uneven, and the same each time
    yield {"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def serve() -> str:
    """Start the server; its base URL."""
    for port in (PORT, 0):
        try:
            listening = http.server.ThreadingHTTPServer(("127.0.0.1", port), Server)
        except OSError:
            continue
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{listening.server_port}/v1"
    raise RuntimeError("no free port")
