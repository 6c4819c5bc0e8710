"""README and CONTRIBUTING tell the truth: their tables are the code's, their blocks run, their links exist."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from streamnb import analysis, tables
from streamnb.events import Outcome
from streamnb.providers import load, names
from streamnb.settings import PROFILES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
SHOWN = (
    *("runs", "events", "chunks", "calls", "citations", "frames", "gaps", "stalls"),
    *("lags", "evidence", "percentiles", "tokens", "token_totals", "compare", "recordings"),
)
FLOORS = {"ipywidgets"}
"""Not imported: anywidget builds on it, and we want a version of it."""


def generated(name: str) -> str:
    if name == "tables":
        return "\n".join(
            f"<details><summary><code>{table}</code></summary>\n\n{tables.columns_markdown(table)}\n</details>\n"
            for table in SHOWN
        )
    if name == "providers":
        return _targets() + "\n" + "\n".join(filter(None, map(_options, names())))
    rows = "\n".join(f"| `{measure}` | {formula} |" for measure, formula in analysis.FORMULAS.items())
    return f"| measure | formula |\n|---|---|\n{rows}\n"


def _targets() -> str:
    lines = ["| target | what it is | key | the vendor's limits | lists |", "|---|---|---|---|---|"]
    for name in names():
        cls = load(name)
        key = f"`{cls.key_env}`" if cls.key_env else "none"
        wanted = f"{key} ({cls.key_note})" if cls.key_note else key
        limits, lists = "; ".join(cls.limits_in_words()), ", ".join(f"`{kind}`" for kind in cls.lists)
        lines.append(f"| `{name}` | [{cls.title}]({cls.doc_url}) | {wanted} | {limits} | {lists} |")
    return "\n".join(lines) + "\n"


def _options(name: str) -> str:
    options = load(name).options
    if not options:
        return ""
    rows = "\n".join(
        f"| `{one.flag}` | {' '.join(f'`{value}`' for value in one.choices) or one.type} "
        f"| {'' if one.default in (None, False, '') else f'`{one.default}`'} | {one.help} |"
        for one in options
    )
    head = "| option | type or values | unless said | meaning |\n|---|---|---|---|"
    return f"<details><summary>options of <code>{name}</code></summary>\n\n{head}\n{rows}\n\n</details>\n"


@pytest.mark.parametrize("name", ["tables", "formulas", "providers"])
def test_the_tables_of_the_readme_are_those_of_the_code(name: str, bless: bool) -> None:
    text = README.read_text()
    pattern = re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
    assert len(pattern.findall(text)) == 1
    if bless:
        README.write_text(pattern.sub(lambda match: f"{match[1]}\n{generated(name)}\n{match[3]}", text))
    else:
        how = f"pytest tests/test_readme.py --bless -k {name}"
        assert pattern.search(text)[2].strip() == generated(name).strip(), how


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[subprocess.Popen[str]]]:
    """All blocks at once, each in a process of its own: most of their time they wait for a stream."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        started = []
        for block in BLOCKS:
            env = os.environ | {"STREAMNB_RECORDINGS": str(tmp_path_factory.mktemp("readme"))}
            process = subprocess.Popen([sys.executable, "-W", "error", "-c", block], env=env, text=True, **pipes)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield started


@pytest.mark.parametrize("n", range(len(BLOCKS)))
def test_the_blocks_of_the_readme_run(n: int, running: list[subprocess.Popen[str]]) -> None:
    out, err = running[n].communicate(timeout=60)
    assert running[n].returncode == 0, f"{BLOCKS[n]}\n{err}"
    assert out


def test_the_readme_names_every_target_and_every_outcome() -> None:
    text = README.read_text()
    for word in (*names(), *PROFILES, *(outcome.value for outcome in Outcome)):
        assert f"`{word}`" in text
    for name in names():
        assert f"`{load(name).key_env}`" in text


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_file_a_page_shows_exists(page: str) -> None:
    found = re.findall(r'(?:src|srcset)="([^"]+)"|\]\((?!https?:)([^)#]+)\)', (ROOT / page).read_text())
    for path in (one or other for one, other in found):
        assert (ROOT / path).is_file(), path


def test_every_picture_is_there_by_day_and_by_night_and_small() -> None:
    shown = re.findall(r'src(?:set)?="docs/(\w+)-(light|dark)\.png"', README.read_text())
    assert {name for name, _ in shown} >= {"panel", "timing", "race", "chat"}
    assert sorted(shown) == sorted((name, kind) for name in {name for name, _ in shown} for kind in ("light", "dark"))
    for name, kind in shown:
        assert (ROOT / "docs" / f"{name}-{kind}.png").stat().st_size < 120_000, name


def test_the_readme_prints_the_two_commands_that_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    for command in re.findall(r"```console\n(.*?)\n```", README.read_text(), re.DOTALL):
        assert command in ci


def test_every_dependency_is_imported_and_the_readme_says_what_for() -> None:
    said = README.read_text().partition("## How it is built")[2]
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "streamnb").rglob("*.py"))
    imported = set(re.findall(r"^ *(?:from|import) (\w+)", code, re.MULTILINE))
    providing = {
        name.lower() for module, names in packages_distributions().items() if module in imported for name in names
    }
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for name in (re.match(r"[\w-]+", requirement)[0] for requirement in wanted):
        assert name in providing or name in FLOORS, f"nothing imports {name}"
        assert re.search(rf"\b{name}\b", said), f"the README does not say what {name} is for"


def test_the_readme_names_everything_that_config_sets() -> None:
    from streamnb.magics import ChatStream

    text = README.read_text()
    for name in ChatStream.class_own_traits(config=True):
        assert f"`{name}`" in text or f"ChatStream.{name}" in text, name
