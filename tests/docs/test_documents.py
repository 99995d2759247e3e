"""What the documents say is what the program does: made ones are compared, examples are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hoopjump.ca.settings import CaConfig
from hoopjump.config import Config, parse_as
from hoopjump.dev import programs
from hoopjump.dev.documents import DOCS, Document
from hoopjump.identity import ssh_config
from hoopjump.identity.settings import LoginSettings
from hoopjump.sshd.snippets import render
from hoopjump.sshd.versions import Version

README = (programs.CHECKOUT / "README.md").read_text()
PAGES = ("README.md", "SECURITY.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in DOCS.glob("*.md")))
LANGUAGES = {"sh", "console", "text", "toml", "nginx", "ssh_config", "sshd_config", "json", "csv", "python", "sql", ""}


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language, without indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


@pytest.mark.parametrize("document", Document, ids=lambda document: str(document.file))
def test_a_made_document_is_up_to_date(document: Document) -> None:
    """`python -m hoopjump.dev.documents` writes it anew."""
    assert (DOCS / document.file).read_text() == document.make()


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    """Relative ones; what is elsewhere is not asked."""
    path = programs.CHECKOUT / page
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_example_has_a_known_language(page: str) -> None:
    """So that none is passed over by the tests below for a slip in its tag."""
    fences = re.findall(r"^ *```(.*)$", (programs.CHECKOUT / page).read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences) <= LANGUAGES


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_the_configuration_are_accepted(page: str) -> None:
    """By the program's own reader; only ca.toml has [server], and only login.toml a client."""
    for block in blocks((programs.CHECKOUT / page).read_text(), "toml"):
        model = CaConfig if "[server]" in block else LoginSettings if "client_id" in block else Config
        parse_as(model, block, page)


def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """In order, in an empty directory; those of ./dev are only looked up."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "hoopjump"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hoopjump.cli.main "$@"\n')
    program.chmod(0o755)
    known = (programs.CHECKOUT / "dev").read_text()
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    run = 0
    for block in blocks(README, "sh"):
        lines = block.splitlines()
        for line in lines:
            if line.startswith("./dev "):
                assert re.search(rf"^    {line.split()[1]}\)$", known, re.MULTILINE), line
        script = "\n".join(line for line in lines if not line.startswith("./dev "))
        answer = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        run += 1
    assert run == 2
    assert sorted(path.name for path in work.iterdir()) == [
        ".revoked.krl.lock",
        "id_ed25519",
        "id_ed25519-cert.pub",
        "id_ed25519.pub",
        "revoked.krl",
        "user_ca",
        "user_ca.pub",
    ]


def test_the_readmes_ssh_configuration_is_accepted_and_means_what_it_says(tmp_path: Path) -> None:
    """As `ssh -G` reads it."""
    (block,) = blocks(README, "ssh_config")
    (tmp_path / "config").write_text(block)

    def settings(host: str) -> list[str]:
        answer = subprocess.run(
            ["ssh", "-G", "-F", tmp_path / "config", host], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.splitlines()

    assert {"user hoop", "identitiesonly yes"} <= set(settings("bastion"))
    assert {"hostname bastion.example.com", "setenv HOOP_RESOURCE=web1"} <= set(settings("web1"))
    assert {"port 12222", "proxyjump bastion", "user alice@example.com"} <= set(settings("gw"))


def test_the_readmes_block_for_sshd_is_the_rendered_one() -> None:
    """For the release and the configuration that the text names."""
    (block,) = blocks(README, "sshd_config")
    targets = ["hoop.example.com:12222"]
    assert block == render(Version(9, 2), ca_file="/etc/hoopjump/user_ca.pub", forward_targets=targets)


def test_the_block_of_the_page_on_logging_in_is_the_rendered_one() -> None:
    """For the file that the page begins with."""
    page = (DOCS / "login.md").read_text()
    values = {"issuer": "https://idp.example.com", "client_id": "hoopjump", "ca_url": "https://ca.example.com"}
    settings = LoginSettings.model_validate(
        {**values, "hosts": ["bastion.example.com", "gw"], "key": "/home/alice/.ssh/hoopjump"}
    )
    (block,) = blocks(page, "ssh_config")
    assert block == ssh_config.render(settings, ["hoopjump", "login", "--quiet", "--if-needed"])
