"""Machines are real: they boot, run what they are told, freeze, die and end, with everything that they began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import machines
import pytest
from machines import until

from cloudmon.model.nodes import Node, NodeState
from cloudmon.testing import FakeClock
from cloudmon_providers.local import LocalProvider, processes

Create = Callable[..., Node]

SLEEPER = """#!/bin/sh
sleep 1000 &
echo $! >> began
"""
WANDERERS = """#!/bin/sh
touch began
# A child that goes on without the session, one that does not obey, a daemon, and a daemon without an environment.
setsid sh -c 'echo $$ >> began; exec sleep 1000' &
sh -c 'trap "" TERM; echo $$ >> began; while true; do sleep 1000; done' &
( setsid sh -c 'echo $$ >> began; exec sleep 1000' & ) &
( env -i setsid sh -c 'echo $$ >> began; exec sleep 1000' & ) &
while [ $(wc -l < began) -lt 4 ]; do sleep 0.01; done
echo >> began
mv began wanderers
"""


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process that is nobody's node."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def word(cloud: LocalProvider, node: Node) -> str:
    return cloud.get_node(node.id).word


def text(directory: Path, node: Node, name: str) -> str:
    path = machines.folder(directory, node) / name
    return path.read_text() if path.exists() else ""


# --- boots ------------------------------------------------------------------------------------------------------------


def test_user_data_runs_as_a_script_in_the_root_of_the_node(directory: Path, create: Create) -> None:
    node = create(f"#!{sys.executable} -S\nimport os; print(os.getcwd(), file=open('here', 'w'))")
    root = machines.folder(directory, node) / "root"
    until(lambda: (root / "here").exists() and (root / "here").read_text(), "the script runs")
    assert (root / "here").read_text() == f"{root}\n"


def test_a_node_sees_nothing_of_the_environment_that_it_was_made_in(
    directory: Path, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDMON_STORE__PASSWORD", "sesame")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    node = create("#!/bin/sh\nenv > seen.new\nmv seen.new seen\nsleep 1000 &\n")
    home = machines.folder(directory, node)
    until((home / "root" / "seen").exists, "the script runs")
    seen = dict(line.partition("=")[::2] for line in (home / "root" / "seen").read_text().splitlines())
    seen.pop("_", None)
    assert seen.pop("PATH").startswith("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:")
    assert seen == {
        "HOME": f"{home}/root/root",
        "PWD": f"{home}/root",
        "TMPDIR": f"{home}/root/tmp",
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "CLOUDMON_ROOT": f"{home}/root",
        "CLOUDMON_NODE": node.id,
        "CLOUDMON_BOOT": "1",
        "CLOUDMON_BOOT_ID": (home / "run" / "boot_id").read_text().strip(),
    }
    for each in processes.of_node(home, node.id):
        assert b"sesame" not in Path(f"/proc/{each.pid}/environ").read_bytes()


def test_a_node_has_only_the_files_that_are_its_own_open(directory: Path, create: Create) -> None:
    node = create(SLEEPER)
    (sleeper,) = machines.told(directory, node, "began")
    opened = {str(path.readlink()) for path in Path(f"/proc/{sleeper}/fd").iterdir()}
    assert opened == {"/dev/null", str(machines.folder(directory, node) / "console.log")}


def test_a_machine_is_no_child_of_who_made_it_and_runs_on_without_it(directory: Path) -> None:
    code = (
        "import machines, pathlib, sys; cloud = machines.provider(pathlib.Path(sys.argv[1]));"
        "print(cloud.create_node(machines.request(cloud)).id)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(machines.__file__).parent)}
    made = subprocess.run(
        [sys.executable, "-c", code, directory], env=environment, capture_output=True, text=True, check=True
    )
    (node,) = machines.provider(directory).list_nodes().nodes
    assert (node.id, node.state) == (made.stdout.strip(), NodeState.RUNNING)
    number = machines.pid(directory, node)
    assert os.getsid(number) == number
    assert os.getsid(0) != number


def test_what_a_script_says_and_how_it_fails_is_on_the_console(directory: Path, create: Create) -> None:
    node = create("#!/no/such/interpreter\n")
    until(lambda: "cannot be run" in text(directory, node, "console.log"), "it is told")
    other = create("#!/bin/sh\necho to be; echo or not >&2\n", 2)
    until(lambda: "to be\nor not\n" in text(directory, other, "console.log"), "it is told")


def test_a_machine_whose_script_fails_runs_on(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create("#!/bin/sh\ntouch failed\nexit 3\n")
    until((machines.folder(directory, node) / "root" / "failed").exists, "the script runs")
    assert word(cloud, node) == "running"


def test_no_process_of_a_node_gets_more_memory_than_its_size_has(directory: Path, create: Create) -> None:
    code = "b = bytearray({} << 20); print('had it')"
    script = (
        "#!/bin/sh\n"
        + "".join(f'python3 -c "{code.format(mib)}" > {mib} 2>&1\n' for mib in (100, 300))
        + "touch done\n"
    )
    root = machines.folder(directory, create(script)) / "root"
    until((root / "done").exists, "both have run")
    assert (root / "100").read_text() == "had it\n"
    assert "MemoryError" in (root / "300").read_text()


# --- orders -----------------------------------------------------------------------------------------------------------


def test_a_reboot_keeps_the_files_and_begins_everything_else_anew(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    node = create(
        "#!/bin/sh\necho $CLOUDMON_BOOT $CLOUDMON_BOOT_ID >> boots\nsleep 1000 &\necho $! > sleeper.$CLOUDMON_BOOT\n"
    )
    boots = machines.folder(directory, node) / "root" / "boots"
    (first,) = machines.told(directory, node, "sleeper.1")
    machine = machines.pid(directory, node)
    cloud.reboot_node(node.id)
    until(lambda: word(cloud, node) == "running", "it runs again")
    (second,) = machines.told(directory, node, "sleeper.2")
    assert not machines.state(first)
    assert machines.state(second)
    (one, old), (two, new) = (line.split() for line in boots.read_text().splitlines())
    assert (one, two) == ("1", "2")
    assert old != new == text(directory, node, "run/boot_id").strip()
    assert machines.pid(directory, node) == machine


def test_a_reboot_needs_nobody_to_look_at_it(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create()
    cloud.reboot_node(node.id)
    until(lambda: text(directory, node, "run/boot") == "2\n", "it boots again")


def test_a_suspended_node_has_no_process_that_runs_and_a_resumed_one_goes_on(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    """One that forks without end, too: each look at it may find it with another child."""
    node = create(WANDERERS + "while true; do echo . >> ticks; sleep 0; done &\n")
    machines.told(directory, node, "wanderers")
    ticks = machines.folder(directory, node) / "root" / "ticks"
    until(ticks.exists, "it ticks")
    cloud.suspend_node(node.id)
    assert word(cloud, node) == "suspended"
    family = processes.of_node(machines.folder(directory, node), node.id)
    assert len(family) >= 6
    assert {each.state for each in family} == {"T"}
    size = ticks.stat().st_size
    assert {machines.state(each.pid) for each in family} == {"T"}
    cloud.resume_node(node.id)
    assert word(cloud, node) == "running"
    until(lambda: ticks.stat().st_size > size, "it ticks again")


def test_what_somebody_lets_go_on_in_a_suspended_node_is_frozen_at_the_next_look(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    node = create(SLEEPER)
    (sleeper,) = machines.told(directory, node, "began")
    cloud.suspend_node(node.id)
    os.kill(sleeper, signal.SIGCONT)
    assert word(cloud, node) == "suspended"
    assert machines.state(sleeper) == "T"


@pytest.mark.parametrize("verb", ["stop_node", "destroy_node"])
@pytest.mark.parametrize("frozen", [False, True], ids=["running", "suspended"])
def test_nothing_that_a_node_began_outlives_it(
    directory: Path, cloud: LocalProvider, create: Create, verb: str, frozen: bool
) -> None:
    node = create(WANDERERS)
    wanderers = machines.told(directory, node, "wanderers")
    machine = machines.pid(directory, node)
    assert len(wanderers) == 4
    if frozen:
        cloud.suspend_node(node.id)
    getattr(cloud, verb)(node.id)
    end = {"stop_node": "stopped", "destroy_node": "terminated"}[verb]
    until(lambda: word(cloud, node) == end, f"it is {end}")
    assert [machines.state(number) for number in [machine, *wanderers]] == [""] * 5


def test_a_node_is_asked_to_end_before_it_is_made_to(directory: Path, create: Create) -> None:
    slow = machines.provider(directory, stop_grace_s=20)
    node = slow.create_node(
        machines.request(slow, '#!/bin/sh\ntrap "echo bye > said; exit" TERM\necho > up\nsleep 1000 &\nwait\n')
    )
    root = machines.folder(directory, node) / "root"
    until((root / "up").exists, "it is up")
    slow.stop_node(node.id)
    assert word(slow, node) in ("stopping", "stopped")
    until(lambda: word(slow, node) == "stopped", "it stops")
    assert (root / "said").read_text() == "bye\n"


def test_an_end_that_takes_too_long_is_forced_by_the_next_look(directory: Path) -> None:
    clock = FakeClock()
    cloud = machines.provider(directory, now=clock.now, stop_grace_s=600)
    node = cloud.create_node(
        machines.request(cloud, '#!/bin/sh\ntrap "" TERM\necho $$ > began\nwhile true; do sleep 1000; done\n')
    )
    (stubborn,) = machines.told(directory, node, "began")
    cloud.stop_node(node.id)
    clock.advance(600)
    assert word(cloud, node) == "stopping"
    assert machines.state(stubborn)
    clock.advance(30)
    assert word(cloud, node) == "stopped"
    assert not machines.state(stubborn)


def test_a_destroyed_node_leaves_nothing_but_its_tombstone(directory: Path, tmp_path: Path, create: Create) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    node = create(
        f"#!/bin/sh\nln -s {outside} link\nmkdir shut\necho > shut/file\nchmod 0 shut/file shut\ntouch done\n"
    )
    until((machines.folder(directory, node) / "root" / "done").exists, "it is done")
    cloud = machines.provider(directory)
    cloud.destroy_node(node.id)
    until(lambda: word(cloud, node) == "terminated", "it ends")
    there = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    assert there == {"cloud.json", "nodes", "making", "trash", "ended", f"ended/{node.id}.json"}
    assert (outside / "precious").read_text() == "kept"


# --- deaths -----------------------------------------------------------------------------------------------------------


def test_a_machine_that_is_killed_is_a_failed_node_and_what_it_began_goes_with_it(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    node = create(
        "#!/bin/sh\nsetsid sleep 1000 &\necho $! >> began\nsleep 1000 &\necho $! >> began\n"
        "env -i sleep 1000 &\necho $! >> began\n"
    )
    until(lambda: text(directory, node, "root/began").count("\n") == 3, "all have begun")
    began = machines.told(directory, node, "began")
    os.kill(machines.pid(directory, node), signal.SIGKILL)
    until(lambda: word(cloud, node) == "failed", "it is seen to have failed")
    assert cloud.get_node(node.id).state is NodeState.ERROR
    until(lambda: not any(map(machines.state, began)), "nothing of it is left")


def test_a_process_without_session_and_environment_is_ended_after_its_machine_was_killed(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    """The machine has noted it in time."""
    node = create(WANDERERS)
    wanderers = machines.told(directory, node, "wanderers")
    until(lambda: text(directory, node, "run/kin"), "it is noted")
    os.kill(machines.pid(directory, node), signal.SIGKILL)
    until(lambda: word(cloud, node) == "failed", "it is seen to have failed")
    until(lambda: not any(map(machines.state, wanderers)), "nothing of it is left")


@pytest.mark.parametrize("verb", ["start_node", "reboot_node"])
def test_a_failed_node_can_be_booted_again(directory: Path, cloud: LocalProvider, create: Create, verb: str) -> None:
    node = create("#!/bin/sh\necho $CLOUDMON_BOOT >> boots\n")
    os.kill(machines.pid(directory, node), signal.SIGKILL)
    until(lambda: word(cloud, node) == "failed", "it is seen to have failed")
    getattr(cloud, verb)(node.id)
    assert word(cloud, node) == "running"
    until(lambda: text(directory, node, "root/boots") == "1\n2\n", "it has booted twice")


def test_a_machine_outlives_the_death_of_what_it_runs(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create(SLEEPER)
    (sleeper,) = machines.told(directory, node, "began")
    os.kill(sleeper, signal.SIGKILL)
    until(lambda: not machines.state(sleeper), "it is gone")
    assert word(cloud, node) == "running"
    assert [each.pid for each in processes.of_node(machines.folder(directory, node), node.id)] == [
        machines.pid(directory, node)
    ]


def test_a_term_that_nobody_ordered_moves_no_machine(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create(SLEEPER)
    (sleeper,) = machines.told(directory, node, "began")
    machine = machines.pid(directory, node)
    for _ in range(3):
        os.kill(machine, signal.SIGTERM)
    cloud.tag_node(node.id, {"colour": "red"})
    os.kill(machine, signal.SIGTERM)
    assert word(cloud, node) == "running"
    assert machines.pid(directory, node) == machine
    assert all(map(machines.state, (machine, sleeper)))
    assert text(directory, node, "run/boot") == "1\n"


@pytest.mark.parametrize("verb", ["stop_node", "suspend_node", "destroy_node", "reboot_node"])
def test_a_number_that_has_become_somebody_elses_is_not_believed(
    directory: Path, cloud: LocalProvider, create: Create, bystander: int, verb: str
) -> None:
    """With another start, and even with the machine's own: who it names has neither mark nor lock."""
    node = create(SLEEPER)
    (sleeper,) = machines.told(directory, node, "began")
    path = machines.folder(directory, node) / "run" / "pid"
    start = path.read_text().split()[1]
    path.write_text(f"{bystander} {start}\n")
    getattr(cloud, verb)(node.id)
    until(lambda: word(cloud, node) in ("stopped", "suspended", "terminated", "running", "rebooting"), "it obeys")
    assert machines.state(bystander) == "S"
    if verb == "suspend_node":
        assert machines.state(sleeper) == "T"


def test_a_dead_machine_whose_number_is_somebody_elses_has_failed(
    directory: Path, cloud: LocalProvider, create: Create, bystander: int
) -> None:
    node = create()
    path = machines.folder(directory, node) / "run" / "pid"
    machine, start = path.read_text().split()
    os.kill(int(machine), signal.SIGKILL)
    until(lambda: not machines.state(int(machine)), "it is gone")
    path.write_text(f"{bystander} {start}\n")
    assert word(cloud, node) == "failed"
    cloud.destroy_node(node.id)
    assert word(cloud, node) == "terminated"
    assert machines.state(bystander) == "S"


def test_a_signal_goes_to_the_process_that_was_seen_or_to_nobody(bystander: int) -> None:
    seen = processes.read(bystander)
    assert seen is not None
    assert not processes.send(seen._replace(start=seen.start + 1), signal.SIGKILL)
    until(lambda: machines.state(bystander) == "S", "it goes on")
    assert processes.send(seen, signal.SIGSTOP)
    until(lambda: machines.state(bystander) == "T", "it stops")
    assert not processes.send(seen._replace(pid=2**22 + 1), signal.SIGKILL)


def test_machines_whose_directory_is_removed_by_hand_end_by_themselves(directory: Path, create: Create) -> None:
    node = create(SLEEPER)
    machine, (sleeper,) = machines.pid(directory, node), machines.told(directory, node, "began")
    directory.rename(directory.with_name("gone"))
    until(lambda: not machines.state(machine) and not machines.state(sleeper), "they end")
