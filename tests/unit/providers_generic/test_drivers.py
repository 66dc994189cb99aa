"""Looking at the drivers that libcloud ships."""

from __future__ import annotations

import pytest
from libcloud.compute.drivers.ec2 import EC2NodeDriver
from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

from cloudmon import errors
from cloudmon_providers.generic import drivers

POWER = {"start_node": "start_node", "stop_node": "stop_node", "reboot_node": "reboot_node"}


def test_what_a_driver_can_do_is_found_without_connecting() -> None:
    assert drivers.verbs(EC2NodeDriver, {}) == {**POWER, "tag_node": "ex_create_tags"}
    assert drivers.verbs(OpenStack_2_NodeDriver, {}) == {
        **POWER,
        "suspend_node": "ex_suspend_node",
        "resume_node": "ex_resume_node",
    }


def test_half_a_pair_of_suspension_is_no_ability() -> None:
    verbs = drivers.verbs(drivers.find("vsphere"), {})
    assert not {"suspend_node", "resume_node"} & set(verbs)


@pytest.mark.filterwarnings("ignore")
def test_every_driver_that_loads_can_be_looked_at() -> None:
    """Some want a library that is not installed: that is told in our words."""
    loaded = 0
    for name in drivers.names():
        try:
            driver_class = drivers.find(name)
        except errors.Unsupported:
            continue
        drivers.verbs(driver_class, {})
        drivers.takes(driver_class.__init__, "timeout")
        drivers.takes(driver_class.create_node, "location")
        loaded += 1
    assert loaded > 40
