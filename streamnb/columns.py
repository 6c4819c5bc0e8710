"""The columns of one run: a row per read and a row per event, appended as they come.

Knows arrays and events. Must not know: pandas, sockets, journals, clocks.
"""

from __future__ import annotations

from array import array

from streamnb.events import Choice


class ChunkColumns:
    """One row per read; position is `seq`. -1 stands for a missing stamp of the server or the kernel.

    `t_ns` is the best stamp there is: the kernel's where it gave one, else that of this process, `read_ns`.
    Rows are only appended, and what was read of them stays true: another thread may look at any row below `len`.
    """

    def __init__(self) -> None:
        self.call = array("i")
        self.t_ns = array("q")
        self.read_ns = array("q")
        self.kernel_ns = array("q")
        self.wire_bytes = array("q")
        self.n_frames = array("q")
        self.n_events = array("q")
        self.server_t_ns = array("q")
        self.data: list[bytes] = []
        self.stamp_source: list[str] = []

    def __len__(self) -> int:
        return len(self.server_t_ns)  # written last: a row that counts is whole


class EventColumns:
    """One row per event; position is `seq`. -1 stands for no choice index and for no server time.

    Attributes:
        choices: what the platform offered to answer with, by the number of the event.
    """

    def __init__(self) -> None:
        self.chunk = array("q")
        self.choice = array("q")
        self.kind: list[str] = []
        self.text: list[str] = []
        self.name: list[str | None] = []
        self.id: list[str | None] = []
        self.data: list[str | None] = []
        self.flags: list[str] = []
        self.server_ms = array("q")
        self.choices: dict[int, tuple[Choice, ...]] = {}

    def __len__(self) -> int:
        return len(self.server_ms)  # written last, as in the other columns
