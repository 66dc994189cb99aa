"""The dummy cloud itself: its API with all that goes wrong there, and the hands that a test has on it."""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cloudmon.model.nodes import CommandResult, NodeEvent, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.model.simulated import Machines
from cloudmon_providers.dummy import catalogue, chance, faults, life, truth
from cloudmon_providers.dummy.catalogue import Shelf
from cloudmon_providers.dummy.faults import Call, CloudFaultError, CloudRefusalError, Fault
from cloudmon_providers.dummy.ground import Ground
from cloudmon_providers.dummy.machine import Machine
from cloudmon_providers.dummy.truth import TrueNode
from cloudmon_providers.dummy.words import RUNNING

EVENTS_AT_A_TIME = 10


class Order(NamedTuple):
    """A create call as it reached the cloud."""

    name: str
    shelf: Shelf
    image: str
    token: str = ""
    tags: Mapping[str, str] = {}
    user_data: str = ""


class Page(NamedTuple):
    """A part of the listing, and where the next one begins (empty: this was the last)."""

    nodes: Sequence[Any]
    next_page: str


Builder = Callable[[Machine, str], Any]
"""Makes the driver's node of a machine that does a word."""


class World(Ground):
    """One simulated cloud. Shared by the threads of a process, and through a file by processes."""

    # --- the cloud's API -------------------------------------------------------------------------------------------

    def page(self, build: Builder, begin: str = "") -> Page:
        """One page of the listing, in order of creation, as old as the listing lag makes it."""
        with self._call("list_nodes") as (call, fault):
            self._list(build)
            serials = self._list_serials or []
            if fault is Fault.EMPTY_LISTING:
                return Page([], "")
            size = self.settings.page_size
            start = bisect.bisect_right(serials, int(begin)) if begin else 0
            if fault is Fault.PARTIAL_LISTING:
                return Page(self._part(call, start), "")
            more = start + size < len(serials)
            return Page(self._list_nodes[start : start + size], str(serials[start + size - 1]) if more else "")

    def get(self, build: Builder, node_id: str) -> Any:
        """One machine as it is now."""
        with self._call("get_node") as (call, _):
            machine = self._known(node_id, call.at)
            return build(machine, machine.word)

    def create(self, build: Builder, order: Order) -> Any:
        """Make a machine, or find the one that the token made."""
        with self._call("create_node") as (call, _):
            mark = hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()
            earlier = self._by_token.get(order.token) if order.token and self.settings.tokens else None
            if earlier is not None:
                machine = self._machines[earlier]
                if machine.fingerprint != mark:
                    raise CloudRefusalError(400, "IdempotentParameterMismatch", "this token came with other parameters")
                if not machine.lives:
                    raise CloudRefusalError(400, "IdempotentInstanceTerminated", "the machine of this token has ended")
            else:
                self._check(order)
                machine = self._make(order, mark, call.at)
            return build(machine, machine.word)

    def order(self, verb: str, node_id: str) -> None:
        """A power verb."""
        with self._call(verb) as (call, _):
            machine = self._known(node_id, call.at)
            if not machine.lives:
                raise CloudRefusalError(404, "InvalidNode.NotFound", f"there is no machine {node_id}")
            with self._edit(machine):
                obeyed = life.obeys(machine, verb, call.at, self.settings)
            if not obeyed:
                raise CloudRefusalError(409, "IncorrectState", f"{node_id} is {machine.word}: cannot {verb}")

    def destroy(self, node_id: str) -> None:
        """Begin a machine's end, and that of its volumes and addresses."""
        with self._call("destroy_node") as (call, _):
            machine = self._known(node_id, call.at)
            with self._edit(machine):
                life.end(machine, call.at, self.settings)

    def tag(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        with self._call("tag_node") as (call, _):
            machine = self._known(node_id, call.at)
            with self._edit(machine):
                machine.tags = {**machine.tags, **tags}
                machine.seen = None

    def snapshot(self, node_id: str, name: str) -> str:
        """Keep what is on a machine's volumes, once for each name."""
        with self._call("snapshot_node") as (call, _):
            machine = self._known(node_id, call.at)
            if not machine.lives:
                raise CloudRefusalError(404, "InvalidNode.NotFound", f"there is no machine {node_id}")
            if name not in machine.kept:
                with self._edit(machine):
                    machine.snapshots += 1
                    machine.kept = {**machine.kept, name: f"snap-{machine.id[3:]}-{machine.snapshots}"}
            return machine.kept[name]

    def forget(self, node_id: str, name: str, kept: str) -> None:
        """Delete a snapshot, by its name and its id."""
        with self._call("forget_snapshot") as (call, _):
            try:
                machine = self._known(node_id, call.at)
            except CloudRefusalError as refusal:
                if refusal.status != 404:
                    raise
                return  # this cloud has forgotten its machine with all that was kept of it
            if machine.kept.get(name) == kept:
                with self._edit(machine):
                    machine.kept = {other: one for other, one in machine.kept.items() if other != name}

    def wall(self, verb: str, node_id: str) -> None:
        """Let nothing into or out of a machine (``isolate_node``), or again what was let before (``release_node``)."""
        with self._call(verb) as (call, _):
            machine = self._known(node_id, call.at)
            if not machine.lives:
                raise CloudRefusalError(404, "InvalidNode.NotFound", f"there is no machine {node_id}")
            self._wall(machine, isolated=verb == "isolate_node")

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        """Make a group what is said, and put machines in and out of it."""
        with self._call("open_peers"):
            moves = [(group.name, node_id) for node_id in joining] + [("", node_id) for node_id in leaving]
            living = [(name, self._machines[at]) for name, at in moves if at in self._machines]
            living = [(name, machine) for name, machine in living if machine.lives]
            if group.name in self._groups or any(name for name, _ in living):
                self._groups[group.name] = group
            for name, machine in living:
                if machine.peers != name:
                    with self._edit(machine):
                        machine.peers, machine.seen = name, None

    def close_peers(self, name: str) -> None:
        """End a group that no machine is in."""
        with self._call("close_peers"):
            if any(machine.lives and machine.peers == name for machine in self._machines.values()):
                raise CloudRefusalError(409, "GroupInUse", f"there are machines in {name}")
            self._groups.pop(name, None)

    def list_peers(self) -> list[PeerGroup]:
        """Every group."""
        with self._call("list_peers"):
            return list(self._groups.values())

    def offers(self, cloud: str) -> list[Offer]:
        """What can be asked for now."""
        with self._call("list_offers") as (call, _):
            now = dt.datetime.fromtimestamp(call.at, dt.UTC)
            return catalogue.offers(cloud, self.settings, free=self._free, now=now)

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]]) -> str:
        """Run programs in a machine that runs: each comes to what :attr:`comes_to` says of its name, or is well."""
        with self._call("start_command") as (call, _):
            machine = self._known(node_id, call.at)
            if machine.word != RUNNING:
                raise CloudRefusalError(409, "IncorrectState", f"{node_id} is {machine.word} and runs no command")
            self.commands.append((node_id, [list(argv) for argv in argvs]))
            self._results[f"command-{len(self.commands)}"] = self.comes_to.get(argvs[-1][0], CommandResult(0))
            return f"command-{len(self.commands)}"

    def command_result(self, command_id: str) -> CommandResult | None:
        """What they came to."""
        with self._call("command_result"):
            return self._results.get(command_id)

    def events(self) -> list[NodeEvent]:
        """The oldest of what was told and not taken."""
        with self._call("wait_events"):
            return list(self._told.values())[:EVENTS_AT_A_TIME]

    def take_events(self, receipts: Sequence[str]) -> None:
        """These need not be told again."""
        with self._turn():
            for receipt in receipts:
                self._told.pop(receipt, None)

    def inside(self, since: int) -> Machines:
        """Machines that changed after that mark, oldest change first: no call of the cloud's API, and without its
        lags and faults."""
        with self._turn():
            changed: list[str] = []
            for node_id in reversed(self._stirred):
                if self._stirred[node_id] <= since:
                    break
                changed.append(node_id)
            found = [truth.inside(self._machines[node_id]) for node_id in reversed(changed)]
            return Machines(self._stirred_ever, found)

    # --- a test's hands --------------------------------------------------------------------------------------------

    def nodes_true(self) -> list[TrueNode]:
        """Every machine that lives, as it is, without lag and without a call."""
        return [node for node in self.ledger() if node.ended_at is None]

    def ledger(self) -> list[TrueNode]:
        """Every machine that ever was, with all that it did, oldest first."""
        with self._turn():
            return [TrueNode.of(machine) for machine in sorted(self._machines.values(), key=lambda each: each.serial)]

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each verb was called, from all processes; a page of a listing is a call."""
        with self._turn():
            return dict(self._calls)

    def kill_node(self, node_id: str, how: str = life.CRASH) -> None:
        """The machine dies: ``crash`` (a reboot heals), ``break`` (nothing does) or ``vanish``."""
        with self._turn() as at, self._edit(self._machines[node_id]):
            life.die(self._machines[node_id], how, at, self.settings)

    def delete_by_hand(self, node_id: str) -> None:
        """Somebody deletes the machine at the console: gone at once and without a trace."""
        with self._turn() as at, self._edit(self._machines[node_id]):
            life.vanish(self._machines[node_id], at, self.settings)

    def stop_by_hand(self, node_id: str) -> None:
        """Somebody stops the machine at the console."""
        with self._turn() as at, self._edit(self._machines[node_id]):
            life.obeys(self._machines[node_id], "stop_node", at, self.settings)

    def isolate_by_hand(self, node_id: str) -> None:
        """Somebody lets nothing into or out of the machine, at the console."""
        with self._turn():
            self._wall(self._machines[node_id], isolated=True)

    def release_by_hand(self, node_id: str) -> None:
        """Somebody lets the machine talk again, at the console."""
        with self._turn():
            self._wall(self._machines[node_id], isolated=False)

    def leave_by_hand(self, node_id: str) -> None:
        """Somebody takes the machine out of its group of peers, at the console."""
        with self._turn(), self._edit(self._machines[node_id]):
            self._machines[node_id].peers, self._machines[node_id].seen = "", None

    def open_by_hand(self, name: str, *ports: int) -> None:
        """Somebody gives a group of peers other ports, at the console."""
        with self._turn():
            self._groups[name] = PeerGroup(name, ports, self._groups[name].tags)

    def hang(self, node_id: str) -> None:
        """The machine reads as it does and obeys nothing but destroy."""
        with self._turn(), self._edit(self._machines[node_id]):
            life.hang(self._machines[node_id])

    def reclaim(self, node_id: str) -> None:
        """The cloud takes the machine back, as it does with spot machines."""
        with self._turn() as at, self._edit(self._machines[node_id]):
            life.end(self._machines[node_id], at, self.settings)

    def foreign(self, name: str = "somebody-elses", tags: Mapping[str, str] | None = None) -> str:
        """Somebody makes a machine that is none of ours; its id."""
        with self._turn() as at:
            order = Order(name, next(catalogue.shelves(self.settings)), "their-image", "", dict(tags or {}))
            return self._make(order, "", at).id

    def set_outage(self, on: bool) -> None:
        """From now on (until told otherwise) nothing answers."""
        self._switch(Fault.OUTAGE, on)

    def set_rejecting(self, on: bool) -> None:
        """From now on (until told otherwise) the credentials are rejected."""
        self._switch(Fault.REJECTED, on)

    def plan_fault(self, verb: str, fault: Fault | str, times: int = 1) -> None:
        """The next ``times`` calls of the verb go wrong in this way."""
        with self._turn():
            self._planned.extend([(verb, Fault(fault).value)] * times)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _switch(self, fault: Fault, on: bool) -> None:
        with self._turn():
            self._switches = {**self._switches, fault.value: on}

    @contextmanager
    def _call(self, verb: str) -> Iterator[tuple[Call, Fault | None]]:
        """A turn that is a call: counted, and subject to all that goes wrong."""
        with self._turn() as at:
            call = Call(verb, self._calls[verb], at)
            self._calls[verb] += 1
            fault = self._fault(call)
            if fault is not None and fault in faults.INSTEAD:
                raise CloudFaultError(fault, self.settings.faults.retry_after_s)
            yield call, fault
            if fault is Fault.TIMEOUT_AFTER_EFFECT:
                raise CloudFaultError(fault)

    def _fault(self, call: Call) -> Fault | None:
        for entry in self._planned:
            if entry[0] == call.verb:
                self._planned.remove(entry)
                return Fault(entry[1])
        return faults.of_call(
            call, self.settings.faults, seed=self.settings.seed, began=self._began, switches=self._switches
        )

    def _list(self, build: Builder) -> None:
        """Bring the listing up to date; where nothing changed the very nodes of last time are listed again."""
        if self._list_serials is not None:
            return
        listed = sorted(self._listed.values(), key=lambda machine: machine.serial)
        for machine in listed:
            if machine.seen is None:
                machine.seen = build(machine, machine.shown)
        self._list_nodes = [machine.seen for machine in listed]
        self._list_serials = [machine.serial for machine in listed]

    def _part(self, call: Call, start: int) -> list[Any]:
        """Some of what is listed from ``start`` on; which ones, the seed says."""
        seed = self.settings.seed
        share = 0.2 + 0.6 * chance.draw(seed, "share", call.number)
        nodes = zip((self._list_serials or [])[start:], self._list_nodes[start:], strict=True)
        return [node for serial, node in nodes if chance.draw(seed, "part", call.number, serial) < share]

    def _wall(self, machine: Machine, *, isolated: bool) -> None:
        if machine.isolated is not isolated:
            with self._edit(machine):
                machine.isolated, machine.seen = isolated, None

    def _known(self, node_id: str, at: float) -> Machine:
        machine = self._machines.get(node_id)
        if machine is None or life.gone(machine, at, self.settings):
            raise CloudRefusalError(404, "InvalidNode.NotFound", f"there is no machine {node_id}")
        return machine

    def _check(self, order: Order) -> None:
        location, size, spot = order.shelf
        settings = self.settings
        if location not in settings.locations or size not in settings.sizes or (spot and not settings.spot):
            raise CloudRefusalError(404, "InvalidSize.NotFound", f"there is no {order.shelf.key}")
        if settings.images and order.image not in settings.images:
            raise CloudRefusalError(404, "InvalidImage.NotFound", f"there is no image {order.image}")
        quota = settings.quota
        if quota is not None and sum(self._living.values()) >= quota:
            raise CloudRefusalError(403, "QuotaExceeded", f"the account may have {quota} machines")
        if self._free(order.shelf) == 0:
            raise CloudRefusalError(503, "InsufficientCapacity", f"no room for {order.shelf.key} now")

    def _free(self, shelf: Shelf) -> int | None:
        room = self.settings.capacity.get(shelf.key)
        return None if room is None else max(0, room - self._living[shelf])

    def _make(self, order: Order, mark: str, at: float) -> Machine:
        self._serial += 1
        serial = self._serial
        account = int(chance.draw(self.settings.seed, "account") * 0xFFF)
        machine = Machine(
            id=f"vm-{account:03x}{serial:07x}",
            serial=serial,
            name=order.name,
            token=order.token,
            fingerprint=mark,
            location=order.shelf.location,
            size=order.shelf.size,
            spot=order.shelf.spot,
            image=order.image,
            tags=dict(order.tags),
            public=[f"198.{18 + (serial >> 16 & 1)}.{serial >> 8 & 255}.{serial & 255}"],
            private=[f"10.{serial >> 16 & 255}.{serial >> 8 & 255}.{serial & 255}"],
            volumes=[f"vol-{account:03x}{serial:07x}"],
            created=at,
            user_data=order.user_data if self.settings.guests is not None else "",
        )
        life.born(machine, at, self.settings)
        life.settle(machine, at, self.settings)
        self._add(machine)
        return machine
