"""Conversations on the simulator, and a page without a browser: it keeps the state as the page's script does."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import comm
from comm.base_comm import BaseComm
from kernel_page import apply, shown, unpacked

from streamnb.results import Run
from streamnb.widgets import ChatPanel

FAST = {"tokens": 4, "ttft": 0, "gap": 0}
SLOW = {"tokens": 2000, "ttft": 0, "gap": 0.01}
HANG_S = 20.0

_numbers = itertools.count()


class Page(BaseComm):
    """One widget's other end: every message is taken as it is sent."""

    def __init__(self, **words: Any) -> None:
        self.board: dict[str, Any] = {}
        self.kinds: list[str] = []
        super().__init__(**words)

    def publish_msg(self, msg_type: str, data: Any = None, **more: Any) -> None:
        if msg_type == "comm_open":
            self.board = data["state"].get("board", {})
        elif msg_type == "comm_msg" and data["method"] == "custom":
            self.take(unpacked(data["content"], more.get("buffers")))

    def take(self, content: dict[str, Any]) -> None:
        board = self.board
        self.kinds.append(content["k"])
        if "n" in content:
            assert content["n"] == board["n"] + 1, f"a gap before {content}"
            board["n"] = content["n"]
        match content["k"]:
            case "full":
                self.board = content["board"]
            case "delta":
                for part in content["lanes"]:
                    self.part(part)
                board["chat"] = content.get("chat", board["chat"])
            case "lane":
                board["lanes"].insert(content["at"], content["lane"])
            case "lanes":
                board["lanes"] = [lane for lane in board["lanes"] if lane["id"] in content["keep"]]
            case "end":
                self.part(content["part"])
                for lane in self.lanes(content["i"]):
                    lane.update(content["lane"])

    def part(self, part: dict[str, Any]) -> None:
        for lane in self.lanes(part["i"]):
            blocks = {block["p"]: block for block in lane["doc"]}
            apply(blocks, part.get("ops", ()))
            lane["doc"] = list(blocks.values())
            lane.update({key: part[key] for key in ("choices", "st") if key in part})

    def lanes(self, ident: int) -> list[dict[str, Any]]:
        return [lane for lane in self.board["lanes"] if lane["id"] == ident]

    @property
    def chat(self) -> dict[str, Any]:
        return self.board["chat"]

    @property
    def said(self) -> list[tuple[str | None, str]]:
        """What stands on the page: (what the user said, the answer)."""
        return [(lane["said"], shown(lane["doc"])) for lane in self.board["lanes"]]

    def say(self, k: str, **content: Any) -> None:
        """What the page sends."""
        message = {"k": k, "q": next(_numbers), **content}
        self.handle_msg({"content": {"data": {"method": "custom", "content": message}}, "buffers": []})

    def values(self, **changed: Any) -> dict[str, Any]:
        """The fields as the page sends them with a prompt: all of them, "" for what is empty."""
        fields = {field["name"]: "" if field["value"] is None else field["value"] for field in self.chat["fields"]}
        assert changed.keys() <= fields.keys()
        return fields | changed


@contextlib.contextmanager
def page_of(panel: Any) -> Iterator[Page]:
    """The page on which a panel is displayed."""
    made: list[Page] = []

    def create(**words: Any) -> Page:
        made.append(Page(**words))
        return made[-1]

    kept, comm.create_comm = comm.create_comm, create
    try:
        panel._chat.publish()
        panel._chat.board.show()
    finally:
        comm.create_comm = kept
    (page,) = (one for one in made if one.board)
    yield page
    panel.close()


@contextlib.contextmanager
def panels() -> Iterator[Callable[..., ChatPanel]]:
    """Makes panels on the simulator; they are closed at the end."""
    made: list[ChatPanel] = []

    def make(target: str = "demo", **keywords: Any) -> ChatPanel:
        elsewhere = "base_url" in keywords
        sim = {} if target == "demo" or elsewhere else {"sim": True}
        pace = {} if elsewhere else {"pace": FAST}
        made.append(ChatPanel(target, **{"record": False, **sim, **pace, **keywords}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def messages_sent(run: Run) -> list[tuple[str, str]]:
    """What a run told an API that keeps no conversation, as it went out."""
    (call,) = run.look.sent()
    return [(message["role"], message["content"]) for message in json.loads(call.body)["messages"]]


def settled(panel: ChatPanel) -> Run:
    """The latest run, when nothing is under way any more."""
    run = panel.wait(HANG_S)
    assert not panel.busy
    assert run is not None
    return run
