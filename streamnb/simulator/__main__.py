"""`python -m streamnb.simulator`: binds, says where, serves until Ctrl-C or until its parent is gone.

Knows its arguments and the ready line. Must not know: any API.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

from streamnb.simulator.app import bases, create
from streamnb.simulator.parent import when_gone
from streamnb.simulator.scenarios import SCENARIOS
from streamnb.simulator.server import bind, serve

_LAST_PORT: Final = 65535


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code. One JSON line on stdout says that it listens, and on which port."""
    args = _parser().parse_args(argv)
    if args.parent_pid is not None:
        when_gone(args.parent_pid, lambda: os._exit(0))
    try:
        listener = bind(args.host, args.port)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {args.host} port {args.port}: {error}; try --port 0\n")
        return 1
    port = listener.getsockname()[1]
    if args.parent_pid is None:
        sys.stderr.write(_greeting(args.host, port))
    app = create()
    sys.stdout.write(json.dumps({"streamnb_simulator": 1, "port": port, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    try:
        serve(app, listener)
    except KeyboardInterrupt:
        return 0
    return 0


def _greeting(host: str, port: int) -> str:
    origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    urls = bases(origin)
    width = max(map(len, urls))
    lines = [f"streamnb simulator on {origin} (Ctrl-C ends it; GET / tells what it can do)"]
    lines += [f"  {name:{width}}  {url}" for name, url in urls.items()]
    lines += [f"  pace and scenario stand before the path: {origin}/~scenario=stall,tokens=20,seed=7/v1"]
    return "\n".join(lines) + "\n"


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= _LAST_PORT:
        raise ValueError
    return port


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, SCENARIOS))
    table = "\n".join(f"  {name:{width}}  {text}" for name, text in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="streamnb simulate",
        description="A server of streaming chat APIs on loopback, for trying and testing without a key.",
        epilog=f"scenarios (put /~scenario=NAME before the path):\n{table}".replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port; 0 = any free one (default: %(default)s)")
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when that process or stdin ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
