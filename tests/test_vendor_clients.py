"""What vendors' own clients read from the simulator is what we read from it. Needs node; installs two npm packages.

ChatBotKit's SDK (ISC) and the parser of Typebot's embed (Apache-2.0); Oliver has no client, Voiceflow's and deepset's
have no streaming one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import streamnb
from streamnb.companions import simulator_url

CLIENTS = Path(__file__).parent / "clients"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("clients")
    for file in CLIENTS.iterdir():
        shutil.copy(file, where)
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=where, check=True, capture_output=True, timeout=100)
    return where


def read_by(client: str, where: Path) -> dict[str, Any]:
    command = ["node", f"{client}.mjs", simulator_url(), "Why do rivers meander?"]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_sdk_of_chatbotkit_reads_the_text_and_the_list_that_we_read(installed: Path):
    theirs = read_by("chatbotkit", installed)
    ours = streamnb.stream("chatbotkit", "Why do rivers meander?", sim=True)
    listed = streamnb.records("chatbotkit", "conversations", take=12, sim=True, display="none")
    assert theirs["text"] == ours.text
    assert theirs["ids"] == listed["id"].tolist()


def test_the_parser_of_typebots_embed_reads_the_text_that_we_read(installed: Path):
    theirs = read_by("typebot", installed)
    ours = streamnb.stream("typebot", "Why do rivers meander?", sim=True)
    assert theirs["text"] == ours.text
