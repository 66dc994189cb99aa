"""User data that brings the agent along: a pure function of the incarnation that any cloud can carry."""

from __future__ import annotations

import email
import subprocess
from pathlib import Path

import pytest

from cloudmon.channel import userdata

TOKEN = f"cm1.{'c' * 43}.a-abcdefghijkl-3-1.{'s' * 43}"
URL = "https://monitor.example:8788"


def rendered(own: str) -> str:
    return userdata.render(own, token=TOKEN, url=URL, interval_s=30)


def test_the_same_incarnation_always_gets_the_same_text() -> None:
    """A cloud refuses the same token with other parameters."""
    assert rendered("#!/bin/sh\necho hello\n") == rendered("#!/bin/sh\necho hello\n")


@pytest.mark.parametrize("own", ["", "#!/bin/sh\nexit 3\n", "#!/usr/bin/env python3\nprint('no shell')\n"],
                         ids=["nothing", "shell", "python"])  # fmt: skip
def test_a_script_stays_a_script_that_a_shell_can_read(own: str, tmp_path: Path) -> None:
    """Ours is well-formed whatever the template's is written in."""
    script = tmp_path / "user-data"
    script.write_text(rendered(own))
    assert rendered(own).startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script], capture_output=True, check=False).returncode == 0
    assert TOKEN in rendered(own)
    assert URL in rendered(own)


def test_the_agent_is_started_although_the_templates_own_script_fails(tmp_path: Path) -> None:
    """What the template does wrong is to be seen by the agent, not to keep it away."""
    root = tmp_path / "a root"
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "python3").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/started\n')
    (fake / "python3").chmod(0o755)
    own = f"#!/bin/sh\necho ran >{tmp_path}/own\nexit 3\n"
    ended = subprocess.run(
        ["sh", "-c", rendered(own)],
        env={"PATH": f"{fake}:/usr/bin:/bin", "CLOUDMON_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert (tmp_path / "own").read_text() == "ran\n"
    assert "ended with 3" in ended.stderr
    start = (root / "var/lib/cloudmon-agent/start.sh").read_text()
    assert f'--root "{root}"' in start


def test_cloud_config_becomes_one_of_two_parts_that_cloud_init_takes() -> None:
    """The template's own part is untouched."""
    own = "#cloud-config\npackages: [nginx]\n"
    message = email.message_from_string(rendered(own))
    parts = [(part.get_content_type(), part.get_payload()) for part in message.walk() if not part.is_multipart()]
    assert [kind for kind, _ in parts] == ["text/cloud-config", "text/x-shellscript"]
    assert parts[0][1].strip() == own.strip()
    assert parts[1][1].startswith("#!/bin/sh")


def test_what_a_cloud_would_not_take_is_refused_with_its_size() -> None:
    """16 KiB is EC2's limit."""
    with pytest.raises(ValueError, match=r"comes to [\d,]+ bytes"):
        rendered("#!/bin/sh\n" + "# filler\n" * 1_500)


def test_text_that_is_neither_script_nor_cloud_config_is_refused() -> None:
    """Nobody knows how to add anything to it."""
    with pytest.raises(ValueError, match="must begin with"):
        rendered("hello")
