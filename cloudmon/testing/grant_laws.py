"""Laws of grants: one stands for a user of a set, the newest; it travels with its set, and nothing of it is lost."""

from __future__ import annotations

from dataclasses import replace

from cloudmon.model.grants import Access
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.testing.guest_words import KEY, GuestWords
from cloudmon.testing.store_words import START, later

FINGERPRINT = "YXtftF7Yr9iIc5ZwGEv2qTSaXDBYMzXcFcqNMnz7uvI"
"""Of ``KEY``, as ``ssh-keygen -l`` shows it."""


class GrantLaws(GuestWords):
    """Promises of ``grants`` and of ``ApplianceSet.grants``."""

    def test_a_grant_is_read_back_as_it_was_given_and_comes_with_its_set(self) -> None:
        aset = self.put()
        grant = self.grant(aset)
        endless = self.grant(aset, "bob", "grant-2", access=Access((KEY, KEY + "2")))
        assert self._store.grants.give(self._owner, endless, START)
        assert self._store.grants.give(self._owner, grant, START)
        assert self._store.grants.standing(EVERYONE) == [grant, endless]
        found = self._store.sets.get(EVERYONE, aset.uid)
        assert found is not None
        assert found.grants == (grant, endless)
        assert self._store.sets.active(EVERYONE)[0].grants == (grant, endless)

    def test_the_same_grant_again_changes_nothing(self) -> None:
        aset = self.put()
        grant = self.grant(aset)
        self._store.grants.give(self._owner, grant, START)
        before = self.everything()
        assert self._store.grants.give(self._owner, replace(grant, user="bob"), later(1))
        assert self.everything() == before

    def test_another_grant_for_the_same_user_comes_in_the_place_of_the_first(self) -> None:
        aset, other = self.put(), self.put("ledger")
        first, second = self.grant(aset), self.grant(aset, name="grant-2")
        elsewhere = self.grant(other, name="grant-3")
        for grant in (first, elsewhere, second):
            self._store.grants.give(self._owner, grant, later(9))
        assert {one.id for one in self._store.grants.standing(EVERYONE)} == {"grant-2", "grant-3"}
        assert self._store.grants.of_set(EVERYONE, aset.uid) == [replace(first, revoked_at=later(9)), second]

    def test_what_is_taken_back_stands_no_more_and_stays_in_the_record(self) -> None:
        aset = self.put()
        grant = self.grant(aset)
        self._store.grants.give(self._owner, grant, START)
        taken = {"by": "ann", "reason": "left"}
        assert self._store.grants.take_back(self._owner, aset.uid, "ada", later(5), **taken)
        assert not self._store.grants.take_back(self._owner, aset.uid, "ada", later(6), **taken)
        assert self._store.grants.standing(EVERYONE) == []
        assert self._store.grants.of_set(EVERYONE, aset.uid) == [replace(grant, revoked_at=later(5))]
        kinds = [entry.kind for entry in self._store.log.entries(EVERYONE, aset.uid)]
        assert kinds[-2:] == ["account.granted", "account.withdrawn"]

    def test_no_grant_is_written_for_a_set_of_another_tenant_or_for_none(self) -> None:
        aset = self.put(tenant="acme")
        before = self.everything()
        assert not self._store.grants.give(self._owner, self.grant(aset, tenant="rival"), START)
        assert not self._store.grants.give(self._owner, self.grant(aset, set_uid="none"), START)
        assert self.everything() == before

    def test_the_log_names_keys_by_their_fingerprints(self) -> None:
        aset = self.put()
        self._store.grants.give(self._owner, self.grant(aset), START)
        (entry,) = [one for one in self._store.log.entries(EVERYONE, aset.uid) if one.kind == "account.granted"]
        assert entry.body["keys"] == ["SHA256:" + FINGERPRINT]
        assert self._store.grants.standing(Scope.of("rival")) == []
