"""Whose rows a store verb may touch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The tenants a caller may see and change; every store verb takes one."""

    tenants: frozenset[str] | None
    """None means all: the service itself."""

    def covers(self, tenant: str) -> bool:
        return self.tenants is None or tenant in self.tenants

    @classmethod
    def of(cls, *tenants: str) -> Scope:
        return cls(frozenset(tenants))


EVERYONE = Scope(None)
