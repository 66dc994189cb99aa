"""The directory of a local cloud: several processes act in it, any is killed at any line, and it stays whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import machines
import pytest
from machines import until

from cloudmon import errors
from cloudmon.errors import QuotaExceeded, Refused, Unreachable
from cloudmon.model.nodes import Node, NodeState
from cloudmon.testing import FakeClock
from cloudmon_providers.local import LocalProvider

Create = Callable[..., Node]

SUPPORT = {**os.environ, "PYTHONPATH": str(Path(machines.__file__).parent)}
CREATE = """
import sys, pathlib, machines
cloud = machines.provider(pathlib.Path(sys.argv[1]))
asked = [machines.request(cloud, "#!/bin/sh\\necho >> boots\\n", ordinal) for ordinal in range(1, 6)]
print("ready", flush=True)
sys.stdin.readline()
print(*[cloud.create_node(each).id for each in asked])
"""
KILLED = """
import os, signal, sys, pathlib, machines
from cloudmon_providers.local import processes
from cloudmon_providers import local

directory, verb, first, step = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
HOME = os.path.dirname(local.__file__)
ACTS = {"kill", "freeze", "thaw", "send"}
cloud = machines.provider(directory)
SCRIPT = "#!/bin/sh\\necho $CLOUDMON_BOOT >> boots\\nsleep 1000 &\\n"

def act(number):
    if verb == "create_node":
        return cloud.create_node(machines.request(cloud, SCRIPT, number))
    return getattr(cloud, verb)(node.id)

def killed(line, number):
    '''Act in a process that is killed before its so manieth line in the provider; False when it got to the end.'''
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = line
    def trace(frame, event, argument):
        nonlocal left
        code = frame.f_code
        if not code.co_filename.startswith(HOME):
            return None
        if code.co_filename == processes.__file__ and code.co_name not in ACTS:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    act(number)
    os._exit(0)

END = {"create_node": "running", "reboot_node": "running", "stop_node": "stopped", "suspend_node": "suspended",
       "resume_node": "running", "start_node": "running", "destroy_node": "terminated"}[verb]
line = first
while True:
    node = None
    if verb != "create_node":
        node = cloud.create_node(machines.request(cloud, SCRIPT, line))
        if verb == "resume_node":
            cloud.suspend_node(node.id)
        if verb == "start_node":
            cloud.stop_node(node.id)
            machines.until(lambda: cloud.get_node(node.id).word == "stopped", "it is stopped")
    was_killed = killed(line, line)
    words = {each.word for each in cloud.list_nodes().nodes if each.word != "terminated"}
    assert words <= {"running", "rebooting", "stopping", "stopped", "suspended", "terminating"}, words
    assert cloud.get_node(node.id) if node else True
    again = act(line)
    node = node or again
    machines.until(lambda: cloud.get_node(node.id).word == END, f"killed before line {line}: it is {END}")
    living = [each for each in cloud.list_nodes().nodes if each.word != "terminated"]
    assert len(living) == (0 if verb == "destroy_node" else 1), living
    home = machines.folder(directory, node)
    leaders = [each for each in processes.of_node(home, node.id) if each.session == each.pid]
    assert len(leaders) == (END not in ("stopped", "terminated")), leaders
    assert not list((directory / "making").iterdir()) + list((directory / "trash").iterdir())
    cloud.destroy_node(node.id)
    machines.until(lambda: cloud.get_node(node.id).word == "terminated", f"killed before line {line}: it ends")
    assert not processes.of_node(home, node.id)
    if not was_killed:
        break
    line += step
print(line)
"""


def creating(directory: Path) -> subprocess.Popen[str]:
    """A process that makes five nodes as soon as it is told to, always with the same tokens."""
    return subprocess.Popen(
        [sys.executable, "-c", CREATE, directory], env=SUPPORT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


# --- several at once --------------------------------------------------------------------------------------------------


def test_processes_that_race_with_the_same_tokens_get_the_same_nodes(directory: Path, cloud: LocalProvider) -> None:
    racers = [creating(directory) for _ in range(3)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    outputs = [racer.communicate("go\n", timeout=60)[0] for racer in racers]
    ids = outputs[0].split()
    assert outputs == [outputs[0]] * 3
    assert len(set(ids)) == 5
    assert {(node.id, node.word) for node in cloud.list_nodes().nodes} == {(each, "running") for each in ids}
    for each in ids:
        boots = machines.folder(directory, each) / "root" / "boots"
        until(boots.exists, "it has booted")
        assert boots.read_text() == "\n"


def test_any_process_may_look_and_act(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create()
    other = machines.provider(directory)
    assert other.get_node(node.id) == node
    other.stop_node(node.id)
    until(lambda: cloud.get_node(node.id).state is NodeState.STOPPED, "it stops")
    cloud.start_node(node.id)
    assert other.get_node(node.id).state is NodeState.RUNNING


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("create_node", 41), ("reboot_node", 31), ("stop_node", 31), ("destroy_node", 47), ("suspend_node", 53),
        ("resume_node", 47), ("start_node", 41),
    ],
)  # fmt: skip
def test_who_is_killed_at_any_line_leaves_a_cloud_that_goes_on(directory: Path, verb: str, step: int) -> None:
    """One node for the token, in the state that the second call asks for, and no process and no directory besides."""
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, directory, verb, "1", str(step)],
        env=SUPPORT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout) > 30


def test_a_boot_that_was_ordered_and_not_begun_is_begun_at_the_next_look(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    node = create()
    path = machines.folder(directory, node) / "node.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "boots": 2}))
    until(lambda: cloud.list_nodes().nodes[0].word == "running", "it boots")
    assert (path.parent / "run" / "boot").read_text() == "2\n"


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_the_token_of_a_node_that_has_ended_makes_no_other(directory: Path) -> None:
    clock = FakeClock()
    cloud = machines.provider(directory, now=clock.now)
    request = machines.request(cloud)
    node = cloud.create_node(request)
    cloud.destroy_node(node.id)
    until(lambda: cloud.get_node(node.id).word == "terminated", "it ends")
    for later_s in (0, 61, 86_400):
        clock.advance(later_s)
        with pytest.raises(Refused) as caught:
            cloud.create_node(request)
        assert (caught.value.code, caught.value.definite) == ("IdempotentInstanceTerminated", True)
    assert not cloud.list_nodes().nodes
    with pytest.raises(errors.NotFound):
        cloud.get_node(node.id)


def test_a_token_that_comes_with_something_else_is_refused(cloud: LocalProvider, create: Create) -> None:
    create("#!/bin/sh\n")
    with pytest.raises(Refused) as caught:
        create("#!/bin/sh\necho other\n")
    assert caught.value.code == "IdempotentParameterMismatch"


def test_a_tombstone_is_kept_for_a_month(directory: Path) -> None:
    clock = FakeClock()
    cloud = machines.provider(directory, now=clock.now)

    def made_and_ended(ordinal: int) -> str:
        node = cloud.create_node(machines.request(cloud, "", ordinal))
        cloud.destroy_node(node.id)
        until(lambda: cloud.get_node(node.id).word == "terminated", "it ends")
        return f"{node.id}.json"

    first = made_and_ended(1)
    clock.advance(29 * 86_400)
    second = made_and_ended(2)
    assert {path.name for path in (directory / "ended").iterdir()} == {first, second}
    clock.advance(2 * 86_400)
    third = made_and_ended(3)
    assert {path.name for path in (directory / "ended").iterdir()} == {second, third}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_there_are_at_most_so_many_nodes(directory: Path) -> None:
    cloud = machines.provider(directory, max_nodes=2)
    assert {offer.capacity for offer in cloud.list_offers()} == {2}
    first, _ = (cloud.create_node(machines.request(cloud, "", ordinal)) for ordinal in (1, 2))
    assert {offer.capacity for offer in cloud.list_offers()} == {0}
    with pytest.raises(QuotaExceeded, match="there may be 2 nodes, the setting max_nodes says"):
        cloud.create_node(machines.request(cloud, "", 3))
    assert cloud.create_node(machines.request(cloud, "", 1)).id == first.id
    cloud.destroy_node(first.id)
    until(lambda: cloud.get_node(first.id).word == "terminated", "it ends")
    assert cloud.create_node(machines.request(cloud, "", 3)).word == "running"


def test_an_image_that_is_not_there_makes_no_node(directory: Path, cloud: LocalProvider, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    own = machines.provider(directory, images=str(tmp_path / "images"))
    for name in ("nginx", "../secret", ".", "", "/etc"):
        for each in (cloud, own):
            with pytest.raises(errors.NotFound, match="there is no image"):
                each.create_node(machines.request(each, image=name))
    assert not directory.exists()


def test_an_image_of_the_users_own_is_the_root_of_its_nodes(directory: Path, tmp_path: Path) -> None:
    image = tmp_path / "images" / "web"
    (image / "etc").mkdir(parents=True)
    (image / "etc" / "motd").write_text("welcome")
    (tmp_path / "hostname").write_text("the machine's own")
    (image / "etc" / "hostname").symlink_to(tmp_path / "hostname")
    cloud = machines.provider(directory, images=str(tmp_path / "images"))
    root = machines.folder(directory, cloud.create_node(machines.request(cloud, image="web"))) / "root"
    assert (root / "etc" / "motd").read_text() == "welcome"
    assert (root / "etc" / "hostname").read_text() == "web-1\n"
    assert (tmp_path / "hostname").read_text() == "the machine's own"
    assert cloud.create_node(machines.request(cloud, ordinal=2)).image == "base"


def test_the_base_image_has_what_an_agent_looks_at(directory: Path, create: Create) -> None:
    root = machines.folder(directory, create()) / "root"
    for name in ("etc/passwd", "etc/group", "etc/os-release", "var/lib/dpkg/status"):
        assert (root / name).read_text()
    for name in ("home", "tmp", "opt", "var/log", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        assert (root / name).is_dir()
    assert (root / "etc" / "hostname").read_text() == "web-1\n"


# --- a listing is the whole truth -------------------------------------------------------------------------------------


def test_a_cloud_that_was_never_made_is_empty_and_looking_makes_none(directory: Path, cloud: LocalProvider) -> None:
    assert list(cloud.list_nodes().nodes) == []
    assert len(cloud.list_offers()) == 2
    with pytest.raises(errors.NotFound):
        cloud.stop_node("vm-0123456789abcdef")
    assert list(directory.parent.iterdir()) == []


@pytest.mark.parametrize("how", ["removed", "replaced", "emptied"])
def test_a_cloud_that_has_gone_is_an_error_and_no_empty_listing(
    directory: Path, cloud: LocalProvider, create: Create, how: str
) -> None:
    node = create()
    machine = machines.pid(directory, node)
    shutil.rmtree(directory)
    until(lambda: not machines.state(machine), "its machine ends")
    if how == "emptied":
        directory.mkdir()
    if how == "replaced":
        other = machines.provider(directory.parent / "other")
        other.create_node(machines.request(other))
        other.destroy_node(other.list_nodes().nodes[0].id)
        (directory.parent / "other").rename(directory)
    sentence = "is another cloud's now" if how == "replaced" else "has gone"
    request = machines.request(machines.provider(directory.parent / "else"))
    for call in (
        cloud.list_nodes,
        cloud.list_offers,
        lambda: cloud.get_node(node.id),
        lambda: cloud.destroy_node(node.id),
        lambda: cloud.create_node(request),
    ):
        with pytest.raises(Unreachable, match=f"{sentence}; bring it back, or remove .*cloud.lock to begin anew"):
            call()
    directory.with_name("cloud.lock").unlink()
    assert len(machines.provider(directory).list_nodes().nodes) == (1 if how == "replaced" else 0)


def test_a_directory_of_something_else_is_not_taken(directory: Path, cloud: LocalProvider) -> None:
    directory.mkdir()
    (directory / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match="is no local cloud and not empty; name a directory of its own"):
        cloud.create_node(machines.request(cloud))
    assert [path.name for path in directory.iterdir()] == ["thesis.tex"]


def test_a_cloud_of_another_version_is_left_alone(directory: Path, cloud: LocalProvider, create: Create) -> None:
    create()
    path = directory / "cloud.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(Refused, match="was made by another version"):
        cloud.list_nodes()


def test_a_cloud_that_somebody_keeps_busy_cannot_be_reached(directory: Path, create: Create) -> None:
    create()
    hasty = machines.provider(directory, timeout_s=0.1)
    with directory.with_name("cloud.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unreachable, match="kept busy by other processes"):
            hasty.list_nodes()
    assert len(hasty.list_nodes().nodes) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"id": 3}', None], ids=["empty", "cut", "list", "other", "gone"])
def test_a_node_with_a_damaged_record_is_listed_beside_the_others_and_can_be_destroyed(
    directory: Path, cloud: LocalProvider, create: Create, damage: str | None
) -> None:
    hurt, well = create("", 1), create("", 2)
    path = machines.folder(directory, hurt) / "node.json"
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    assert {node.id: node.state for node in cloud.list_nodes().nodes} == {
        hurt.id: NodeState.UNKNOWN,
        well.id: NodeState.RUNNING,
    }
    cloud.destroy_node(hurt.id)
    until(lambda: cloud.get_node(hurt.id).word == "terminated", "it ends")
    assert cloud.get_node(well.id).state is NodeState.RUNNING


def test_what_was_not_finished_is_removed_by_the_next_turn(
    directory: Path, cloud: LocalProvider, create: Create
) -> None:
    create()
    for name in ("making/vm-0000000000000000/root", "trash/vm-0000000000000000-ab/root"):
        (directory / name).mkdir(parents=True)
    assert len(cloud.list_nodes().nodes) == 1
    assert not list((directory / "making").iterdir()) + list((directory / "trash").iterdir())


def test_a_full_disk_is_no_room_and_leaves_nothing(
    directory: Path, cloud: LocalProvider, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudmon_providers.local import images  # noqa: PLC0415 - the package imports nothing by itself

    create()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "_lay_base", full)
    with pytest.raises(errors.OutOfCapacity) as caught:
        create("", 2)
    assert caught.value.definite
    assert list((directory / "making").iterdir()) == []
    assert len(cloud.list_nodes().nodes) == 1


def test_a_node_in_which_something_is_mounted_is_not_removed(
    directory: Path, cloud: LocalProvider, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing its directory would remove what is mounted there."""
    from cloudmon_providers.local import life  # noqa: PLC0415

    node = create()
    with monkeypatch.context() as patched:
        patched.setattr(life, "mounted", lambda folder: folder.name == node.id)
        cloud.destroy_node(node.id)
        machine = machines.pid(directory, node)
        until(lambda: not machines.state(machine), "its machine ends")
        assert cloud.get_node(node.id).word == "terminating"
        assert (machines.folder(directory, node) / "root" / "etc").exists()
    assert cloud.get_node(node.id).word == "terminated"


def test_what_is_mounted_is_read_from_the_kernel() -> None:
    from cloudmon_providers.local import directory as places  # noqa: PLC0415

    assert places.mounted(Path("/"))
    assert places.mounted(Path("/proc"))
    assert not places.mounted(Path(__file__).parent)


def test_the_words_of_the_cloud_are_all_translated(directory: Path, cloud: LocalProvider, create: Create) -> None:
    node = create()
    os.kill(machines.pid(directory, node), signal.SIGKILL)
    until(lambda: cloud.get_node(node.id).word == "failed", "it fails")
    assert cloud.list_nodes().nodes[0].state is NodeState.ERROR
