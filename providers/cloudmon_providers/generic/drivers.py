"""Finding a driver's class, making a driver, and looking at what it can do."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from libcloud.common.openstack import OpenStackBaseConnection
from libcloud.compute.base import NodeDriver
from libcloud.compute.providers import DRIVERS, get_driver

from cloudmon import errors

# The first that a driver has. The pairs of suspension go together: what one freezes the other must thaw.
_CANDIDATES: Final[Mapping[str, tuple[str, ...]]] = {
    "start_node": ("start_node", "ex_start_node", "ex_power_on_node"),
    "stop_node": ("stop_node", "ex_stop_node", "ex_power_off_node", "ex_power_off", "ex_shutdown_node"),
    "reboot_node": ("reboot_node",),
    "tag_node": ("ex_create_tags",),
}
_SUSPENSIONS: Final = (("ex_suspend_node", "ex_resume_node"), ("ex_pause_node", "ex_unpause_node"))


def names() -> list[str]:
    """Names of the drivers that libcloud knows, in lower case."""
    return sorted(str(getattr(name, "value", name)).lower() for name in DRIVERS)


def find(name: str) -> type[NodeDriver]:
    """The class of a driver. ``Unsupported`` when it cannot be loaded."""
    module, of_a_package, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module) if of_a_package else get_driver(name.lower())
    except Exception as error:  # get_driver raises a plain Exception for removed ones
        raise errors.Unsupported(f"the driver {name!r} cannot be loaded: {error}") from error
    if of_a_package:
        classes = _classes(found)
        if not hasattr(found, attribute):
            raise errors.Unsupported(f"{module} has no driver {attribute}{_near(attribute, sorted(classes))}")
        found = getattr(found, attribute)
    if not (isinstance(found, type) and issubclass(found, NodeDriver)):
        raise errors.Unsupported(f"{name!r} is no compute driver of libcloud")
    return found


def _classes(module: object) -> dict[str, type[NodeDriver]]:
    """The drivers that a module has, by their names."""
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, NodeDriver) and found is not NodeDriver
    }


def _near(word: str, known: list[str]) -> str:
    """The end of a sentence about a wrong name: the name that is meant, or what there is."""
    same = [name for name in known if name.lower() == word.lower()]
    close = same or difflib.get_close_matches(word, known, 1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}" if known else "; there is none"


def settled(driver_class: type[NodeDriver], arguments: Mapping[str, Any]) -> type[NodeDriver]:
    """The class that is really made: some drivers choose it by an argument (OpenStack's by ``api_version``)."""
    if driver_class.__new__ is object.__new__:
        return driver_class
    choose: Any = driver_class.__new__
    try:
        return type(choose(driver_class, **arguments))
    except Exception as error:  # whatever a driver says of arguments that it does not like
        raise errors.Refused(f"{driver_class.__name__} takes other arguments: {error}") from error


def _chooses(driver_class: type[NodeDriver], arguments: Mapping[str, Any]) -> bool:
    try:
        settled(driver_class, arguments)
    except errors.Refused:
        return False
    return True


def objection(driver_class: type[NodeDriver], arguments: Mapping[str, Any]) -> str:
    """What the constructor has to say against ``arguments``, as far as that is seen without calling it, since some
    call their cloud from there; empty text for nothing.

    It holds no text of ``arguments``: there are secrets among them."""
    try:
        made = settled(driver_class, arguments)
    except errors.Refused as error:
        told = str(error)
        for value in arguments.values():
            told = told.replace(value, "***") if isinstance(value, str) and len(value) > 3 else told
        return told
    try:
        inspect.signature(made.__init__).bind(None, **arguments)
    except TypeError as error:
        return f"{made.__name__} takes other arguments: {error}"
    connection = getattr(made, "connectionCls", None)
    if isinstance(connection, type) and issubclass(connection, OpenStackBaseConnection):
        if not (connection.auth_url or arguments.get("ex_force_auth_url")):
            return f"{made.__name__} needs ex_force_auth_url, the URL of its cloud's identity service"
    return ""


def make(driver_class: type[NodeDriver], arguments: Mapping[str, Any], *, timeout_s: float) -> NodeDriver:
    """A new driver whose calls end within ``timeout_s``. ``Refused`` when its constructor takes other arguments."""
    named = {"timeout": timeout_s, **arguments}
    made_of = settled(driver_class, arguments).__init__
    # Some that choose their class take any argument in __init__, and stumble over it in __new__.
    if not takes(made_of, "timeout") or not _chooses(driver_class, named):
        named = dict(arguments)
    try:
        inspect.signature(made_of).bind(None, **named)
    except TypeError as error:
        raise errors.Refused(f"{driver_class.__name__} takes other arguments: {error}") from error
    constructor: Any = driver_class
    driver: NodeDriver = constructor(**named)
    # Not every constructor hands its timeout on.
    connection: Any = getattr(driver, "connection", None)
    if getattr(connection, "timeout", timeout_s) is None:
        connection.timeout = timeout_s
        session = getattr(getattr(connection, "connection", None), "session", None)
        if session is not None:
            session.timeout = timeout_s
    return driver


def takes(function: Any, argument: str) -> bool:
    """Whether the function takes an argument of this name, or any."""
    parameters = inspect.signature(function).parameters
    return argument in parameters or any(found.kind is found.VAR_KEYWORD for found in parameters.values())


def verbs(driver_class: type[NodeDriver], wanted: Mapping[str, str]) -> dict[str, str]:
    """The driver's method by our verb: what ``wanted`` names, else what the driver itself has."""
    found = {
        verb: method
        for verb, methods in _CANDIDATES.items()
        if (method := next((name for name in methods if overridden(driver_class, name)), ""))
    }
    for suspend, resume in _SUSPENSIONS:
        if overridden(driver_class, suspend) and overridden(driver_class, resume):
            found |= {"suspend_node": suspend, "resume_node": resume}
            break
    return {verb: method for verb, method in {**found, **wanted}.items() if method}


def overridden(driver_class: type[NodeDriver], name: str) -> bool:
    """Whether the driver has a method of its own of this name, not only libcloud's placeholder that raises."""
    found = getattr(driver_class, name, None)
    return found is not None and found is not getattr(NodeDriver, name, None)
