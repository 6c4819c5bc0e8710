"""A real kernel, seen as a notebook page sees it: what one cell makes of messages, and what the page says back."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from jupyter_client.manager import start_new_kernel

import streamnb.display

PATH = os.pathsep.join([str(Path(__file__).parent), str(Path(streamnb.display.__file__).parents[2])])
SETUP = """
import asyncio
from synthetic_stream import *
from streamnb.display import board, panel, widget
from streamnb.display.board import Board
from streamnb.display.panel import PanelView
S = 1_000_000_000
def chunk(t_s, *events):
    return Arrival(Chunk(0, 0, round(t_s * S), 1, 1, b'x'), events)
def opened(header=HEADER, stop=lambda: None, look=None, style=None):
    view = PanelView(style)
    view.open(header, stop, look)
    return view
def final(text='', outcome=Outcome.COMPLETE, **rest):
    return Final(**{'text': text, 'reasoning': '', 'outcome': outcome, 'error': None, 'summary': {}, 'citations': (),
                    **rest})
"""


class Kernel:
    """A real kernel and what its page would see of one cell."""

    def __init__(self, client) -> None:
        self.client = client

    def start(self, code: str, *, allow_stdin: bool = True) -> str:
        return self.client.execute(code, allow_stdin=allow_stdin)

    def messages(self, request: str):
        """All messages on iopub until the request is done, those of background work included."""
        while True:
            message = self.client.get_iopub_msg(timeout=20)
            assert message["msg_type"] != "error", message["content"]["traceback"]
            assert message["content"].get("name") != "stderr", message["content"]["text"]
            own = message["parent_header"].get("msg_id") == request
            if own and message["content"].get("execution_state") == "idle":
                return
            yield message

    def run(self, code: str, *, allow_stdin: bool = True) -> list[dict]:
        return list(self.messages(self.start(code, allow_stdin=allow_stdin)))

    def printed(self, code: str) -> str:
        return "".join(message["content"]["text"] for message in self.run(code) if message["msg_type"] == "stream")

    def say(self, comm_id: str, **content) -> None:
        """Send what the page sends."""
        self.tell(comm_id, {"method": "custom", "content": content})

    def tell(self, comm_id: str, data: dict) -> None:
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)


@contextlib.contextmanager
def running_kernel() -> Iterator[Kernel]:
    """A kernel that knows `SETUP`, gone at the end."""
    manager, client = start_new_kernel(env=os.environ | {"PYTHONPATH": PATH})
    try:
        kernel = Kernel(client)
        kernel.run(SETUP)
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def of_type(messages: list[dict], kind: str) -> list[dict]:
    return [message for message in messages if message["msg_type"] == kind]


def comm_of(messages: list[dict]) -> str:
    return next(
        m["content"]["comm_id"] for m in of_type(messages, "comm_open") if "board" in m["content"]["data"]["state"]
    )


def sent(messages: list[dict], comm_id: str = "") -> list[dict]:
    """The contents that the page gets for one panel, in order; for the first one opened, unless it is named."""
    wanted = comm_id or comm_of(messages)
    comms = (message for message in of_type(messages, "comm_msg") if message["content"]["comm_id"] == wanted)
    custom = (comm for comm in comms if comm["content"]["data"]["method"] == "custom")
    return [unpacked(comm["content"]["data"]["content"], comm["buffers"]) for comm in custom]


def unpacked(content: dict, buffers: list) -> dict:
    """A message as the page reads it: a long one comes deflated."""
    return json.loads(zlib.decompress(buffers[0])) if content["k"] == "packed" else content


def apply(blocks: dict, ops: list) -> None:
    """What a page does with the news of a lane's answer."""
    for op, *rest in ops:
        match op, rest:
            case "set", [block]:
                blocks[block["p"]] = dict(block)
            case "splice", [place, keep, tail]:
                units = blocks[place]["h"].encode("utf-16-le")[: 2 * keep]
                blocks[place]["h"] = units.decode("utf-16-le") + tail
            case "text", [place, tail]:
                blocks[place]["t"] += tail
            case "drop", [place]:
                del blocks[place]
            case "clear", []:
                for place in [place for place, block in blocks.items() if block["k"] in {"md", "pre"}]:
                    del blocks[place]


def answered(contents: list[dict]) -> str:
    """The text of the answer as a page shows it after these messages, tags taken out."""
    blocks: dict = {}
    for content in contents:
        for part in [*content.get("lanes", ()), content.get("part") or {}]:
            apply(blocks, part.get("ops", ()))
        if content["k"] == "full":
            blocks = {block["p"]: block for block in content["board"]["lanes"][0]["doc"]}
    return shown(blocks.values())


def shown(doc) -> str:
    """The text of an answer's blocks."""
    parts = (block.get("t") or re.sub(r"<[^>]*>", "", block["h"]) for block in sorted(doc, key=lambda one: one["p"]))
    return html.unescape("\n".join(part.strip() for part in parts))
