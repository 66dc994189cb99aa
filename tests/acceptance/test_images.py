"""A changed image as a person meets it: what is planned, what is shown, and what becomes of a bad one."""

from __future__ import annotations

import re
from collections.abc import Callable

from shop import REASON, Shop

NewShop = Callable[..., Shop]

SETTINGS = """boot_timeout_s = 60
updates = { method = "replace", batch = 2, healthy_s = 20, patience_s = 40 }
[sets.web]
template = "web"
count = 4
healing = { verify_s = 60, backoff_s = 10, backoff_max_s = 3600 }
[breakers.destructive]
per_set = 20
per_tenant = 20
per_cloud = 20
"""


def images(shop: Shop) -> list[str]:
    return sorted(str(node.image) for node in shop.truth().values())


def test_a_changed_image_is_planned_rolled_out_and_taken_back_where_it_is_bad(new_shop: NewShop) -> None:
    shop = new_shop(SETTINGS, options='images = ["web-1", "web-2"]')
    with shop.monitor() as watch:
        watch.settle()
        assert images(shop) == ["web-1"] * 4
        shop("sets", "protect", "web/2", *REASON, "--no-wait")
        watch.settle()

        shop.edit('images = { "*" = "web-1" }', 'images = { "*" = "web-2" }')
        planned = {row["subject"]: row for row in shop.json("plan", code=2)}
        protected = planned["web/2"]["held"]
        assert re.fullmatch("is protected by .*: acceptance", protected)
        assert planned["web/1"]["action"] == "terminate"
        assert planned["web/1"]["reason"] == "was launched with web-1; web-2 is wanted"
        assert {name: row["held"] for name, row in planned.items()} == {
            "web": "", "web/1": "",
            "web/2": protected,
            "web/3": "its turn in the roll-out of web-2",
            "web/4": "its turn in the roll-out of web-2",
        }  # fmt: skip
        watch.tick(3)
        assert images(shop).count("web-2") == 1
        watch.over(400)
        assert images(shop) == ["web-1", "web-2", "web-2", "web-2"]
        (row,) = shop.json("updates", "web")
        assert (row["application"], row["wanted"], row["have"]) == ("(image)", "web-2", {"web-2": 3, "web-1": 1})
        assert (row["state"], row["why"]) == ("held", protected)

        phases = {row["appliance"]: row["phase"] for row in shop.json("updates", "web", "--each")}
        assert phases == {"web/1": "done", "web/2": "held", "web/3": "done", "web/4": "done"}

        # One that the cloud does not have: the canary is lost, the others are left, and it comes back as it was.
        shop.edit('"*" = "web-2"', '"*" = "web-9"')
        watch.over(60)
        assert images(shop) == ["web-1", "web-2", "web-2"]
        watch.over(600)
        assert images(shop) == ["web-1", "web-2", "web-2", "web-2"]
        (row,) = shop.json("updates", "web")
        assert row["state"] == "held"
        assert "the roll-out of web-9 stopped" in row["why"]
        assert "the set goes back to web-2" in row["why"]
        assert any("web-9" in row["message"] for row in shop.json("incidents"))
