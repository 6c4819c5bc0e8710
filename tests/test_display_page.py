from __future__ import annotations

import base64
import re
import zlib

from streamnb.display import page


def test_the_module_holds_every_part_in_the_order_of_its_name_and_no_comment():
    packed = re.search(r'packed = "([^"]+)"', page.module())[1]
    code, styles = zlib.decompress(base64.b64decode(packed)).decode().split("\f")
    for name in ("element", "allowed", "createStore", "buildHead", "buildLane", "buildRace", "buildChat"):
        assert code.count(f"function {name}(") == 1
    assert code.index("function element(") < code.index("function createStore(") < code.index("export default")
    assert code.count("export default") == 1
    assert "/**" not in code
    assert not re.search(r"^\s*//", code, re.MULTILINE)
    assert ".snb-panel {" in styles


def test_the_module_is_small_enough_to_travel_with_every_widget():
    assert len(page.module().encode()) < 42_000


def test_nothing_in_the_module_loads_from_elsewhere_or_makes_markup_of_text():
    code = page.joined("js")
    assert not re.search(r"https?://(?!www\.w3\.org/)", re.sub(r"//.*|/\*\*[\s\S]*?\*/", "", code))
    assert not re.search(r"\beval\(|new Function\(|outerHTML|insertAdjacentHTML|document\.write|\bimport\(", code)
    assert len(re.findall(r"innerHTML", code)) == 1, "only the template of the allow-list"
    assert not re.search(r"@import|url\((?!data:)", page.joined("css"))
