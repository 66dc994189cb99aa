"""Shows the main job on simulated clouds, and inside a real machine, with real processes and the commands a person
would type, in about a minute; ends with a list of what it proved. Exit code 0 only when all of it happened.

Run by ``make demo``. Everything lives in a temporary folder and is gone afterwards.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cloudmon import plugins
from cloudmon.model.nodes import Node, NodeState
from cloudmon.provider import Provider
from cloudmon.testing.shop import SCENES, Shop
from cloudmon.testing.stage import PATIENCE_S, Broken, Stage

SETTINGS = """\
author = "file:demo"
[store]
url = "sqlite:///{folder}/cloudmon.db"
[monitor]
state_dir = "{folder}/state"
poll_interval_s = 0.5
call_timeout_s = 3
health_port = {port}
[clouds.east]
provider = "dummy"
listing_lag_s = 0.5
[clouds.east.options]
world = "{folder}/east.world"
boot_s = 0.5
listing_lag_s = 0.3
capacity = {{ "here-1/small" = 2 }}
faults = {{ empty_listing = {empty} }}
[clouds.west]
provider = "dummy"
listing_lag_s = 0.5
[clouds.west.options]
world = "{folder}/west.world"
boot_s = 0.5
price_factor = "1.5"
[templates.web]
images = {{ "*" = "web-1" }}
needs = {{ memory_mib = 2048 }}
[sets.storefront]
template = "web"
count = {count}
healing = {{ fault_after_s = 0, verify_s = 10, backoff_s = 1, batch = 2 }}
[sets.campaign]
template = "web"
count = 2
clouds = ["west"]
lease = {{ duration = "{campaign_s}s", warn = ["5s"] }}
"""

CAMPAIGN_S = 25


class Demo(Stage):
    """Two simulated clouds and the sets on them."""

    def __init__(self, folder: Path, proved: list[str]) -> None:
        super().__init__(folder, proved)
        self.settings(count=4)
        self.clouds = {cloud: self._cloud(cloud) for cloud in ("east", "west")}

    def settings(self, *, count: int, empty: int = 0) -> None:
        """So many appliances are wanted; ``empty``: how often a listing of the first cloud shows nothing."""
        text = SETTINGS.format(folder=self.folder, port=self.port, count=count, empty=empty, campaign_s=CAMPAIGN_S)
        self.write(text)

    def _cloud(self, cloud: str) -> Provider:
        factory = plugins.provider("dummy")
        options = factory.settings_model(world=str(self.folder / f"{cloud}.world"))
        return factory(cloud, options, now=self.clock.now, timeout_s=3)

    def living(self) -> list[Node]:
        """Every node that truly exists in both clouds, asked past the monitor."""
        ended = (NodeState.TERMINATED, NodeState.TERMINATING)
        return [node for cloud in self.clouds.values() for node in cloud.list_nodes().nodes if node.state not in ended]


# --- the acts ---------------------------------------------------------------------------------------------------------


def instantiate(demo: Demo) -> None:
    shown = demo.run("plan", codes=(2,))
    demo.check("launch" in shown and not demo.living(), "plan shows what would be done, exits with 2 and does nothing")
    demo.run("apply", "--yes")
    demo.check(len(demo.living()) == 6, "apply launched two sets of appliances on two clouds and saw each of them run")
    offers = [row for row in demo.rows("placement", "show", "storefront") if row.get("fits")]
    demo.check(len(offers) > 1, "the ranking of the offers is kept, with its reasons")
    demo.run("plan", codes=(0,))
    demo.check(True, "a second plan finds nothing to do")


def serve(demo: Demo) -> None:
    demo.serve()
    demo.check(True, "the service runs and says that it is healthy")
    refused = demo.run("run", codes=(1,))
    demo.check("already runs" in refused, "a second monitor on the same store is refused, and told about the first one")


def crash(demo: Demo) -> None:
    demo.settings(count=8)
    demo.until("new nodes appear", lambda: sum(node.name.startswith("storefront") for node in demo.living()) > 4)
    demo.end(signal.SIGKILL)
    demo.serve()
    demo.until("all eight run", lambda: demo.states("storefront") == ["running"] * 8)
    tokens = [node.token for node in demo.living() if node.name.startswith("storefront")]
    demo.check(
        len(tokens) == len(set(tokens)) == 8,
        "a changed file was picked up, the service was killed in the middle, and nothing was launched twice or lost",
    )


def heal(demo: Demo) -> None:
    before = {row["appliance"]: row for row in demo.rows("status")}
    row = before["storefront/3"]
    demo.clouds[row["cloud"]].destroy_node(row["node"])

    def replaced() -> bool:
        now = {found["appliance"]: found for found in demo.rows("status")}["storefront/3"]
        return bool(now["state"] == "running" and now["node"] != row["node"])

    demo.until("storefront/3 is back", replaced)
    demo.check(True, "a node deleted behind our back was found missing and stands again, as the next incarnation")
    told = demo.run("why", "storefront/3")
    demo.check("gone" in told, "why tells the story of it")


def act(demo: Demo) -> None:
    demo.run("act", "storefront/*", "reboot", "--reason", "demo")
    demo.check(True, "a whole set was rebooted, two at a time, and each was seen running again")
    demo.run("act", "storefront/1", "suspend", "--reason", "demo")
    demo.check(demo.states("storefront")[0] == "suspended", "one appliance was suspended")
    demo.run("act", "storefront/1", "resume", "--reason", "demo")
    demo.run("sets", "protect", "storefront", "--for", "1h", "--reason", "demo")
    refused = demo.run("act", "storefront/2", "replace", "--reason", "demo", codes=(1,))
    demo.check("protected" in refused, "a protected set refuses destruction, and says why")
    demo.run("sets", "release", "storefront", "protect")


def blind(demo: Demo) -> None:
    taken = demo.end(signal.SIGTERM)
    demo.check(taken < 5, f"SIGTERM was obeyed in {taken:.1f} s")
    nodes = {node.id for node in demo.living() if node.name.startswith("storefront")}
    demo.settings(count=8, empty=1)
    demo.serve()
    demo.until("the listing is doubted", lambda: "missing from one listing" in demo.run("plan", codes=(0, 2)))
    demo.clock.wait(threading.Event(), 2)
    demo.check(
        {node.id for node in demo.living() if node.name.startswith("storefront")} == nodes,
        "a cloud that suddenly shows nothing is doubted: nothing was destroyed, nothing doubled",
    )
    demo.end(signal.SIGTERM)
    demo.settings(count=8)
    demo.serve()


def retire(demo: Demo) -> None:
    def over() -> bool:
        return not any(node.name.startswith("campaign") for node in demo.living())

    demo.until("the campaign has ended", over, CAMPAIGN_S + PATIENCE_S)
    demo.check(True, "the set whose lease ended was retired")
    late = demo.run("sets", "extend", "campaign", "--by", "1h", "--reason", "demo", codes=(1,))
    demo.check(bool(late), "extending it now is refused, and says that it is too late")
    demo.clock.wait(threading.Event(), 2)
    demo.check(over(), "it stays ended although its file still names it")


def meter(demo: Demo) -> None:
    usage = demo.rows("usage", "--by", "set")
    seconds = {row["subject"]: int(row["measured_s"]) + int(row["estimated_s"]) for row in usage if row["subject"]}
    low, high = 2 * CAMPAIGN_S - 10, 2 * CAMPAIGN_S + 30
    demo.check(
        low <= seconds["campaign"] <= high, f"two appliances of {CAMPAIGN_S} s are metered as {seconds['campaign']} s"
    )
    demo.end(signal.SIGTERM)
    whole = demo.run("audit", "verify")
    demo.check("whole" in whole, "the action log verifies")
    _tamper(demo.folder / "cloudmon.db")
    broken = demo.run("audit", "verify", codes=(1,))
    demo.check(bool(broken), "one changed byte in the action log is found and named")


def _tamper(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute(
            "UPDATE action_log SET subject = '!' || substr(subject, 2)"
            " WHERE seq = 1 AND chain = (SELECT min(chain) FROM action_log)"
        )
    connection.close()


ACTS: Mapping[str, Callable[[Demo], None]] = {
    "instantiate": instantiate,
    "serve": serve,
    "survive a crash": crash,
    "heal": heal,
    "act": act,
    "doubt a blind cloud": blind,
    "retire": retire,
    "meter and audit": meter,
}


def main() -> int:
    """Play all acts; 0 when everything was proved."""
    folder = Path(tempfile.mkdtemp(prefix="cloudmon-demo-"))
    proved: list[str] = []
    demo, shop = Demo(folder / "clouds", proved), Shop(folder / "here", proved)
    stage: Stage = demo
    began = demo.clock.monotonic()
    try:
        shop.open()  # machines boot, and agents enrol, while the clouds have their turn
        for name, play in ACTS.items():
            print(f"{name} …", flush=True)  # noqa: T201  # it is what this is for
            play(demo)
        stage = shop
        for name, scene in SCENES.items():
            print(f"{name} …", flush=True)  # noqa: T201
            scene(shop)
    except Broken as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)  # noqa: T201
        log = stage.folder / "service.log"
        print(log.read_text("utf-8")[-4_000:] if log.exists() else "", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        demo.end(signal.SIGKILL)
        shop.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nProved in {demo.clock.monotonic() - began:.0f} s:")  # noqa: T201
    for number, sentence in enumerate(proved, 1):
        print(f" {number:2}. {sentence}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
