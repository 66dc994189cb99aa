"""Snapshots: what each is called, and the end of those that were kept for as long as the settings say.

Only what an intent of ours kept is ever ended, by the very name and id that are written down with it, and by an intent
of its own: of the whole set (ordinal 0), since its appliance may be another one by now, or gone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from cloudmon.model.actions import CLASS_OF, Intent, LogEntry, Origin, Verb
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile import tries
from cloudmon.reconcile.picture import CloudView, Moment
from cloudmon.reconcile.plan import Step, Waiting

WHOLE_SET = 0
"""Ordinal of what is about a set and none of its members."""


def name_of(intent: Intent) -> str:
    """What the snapshot of an intent is called. A pure function of it: a second try keeps nothing twice, and what rules
    want within one hour is one snapshot, however many files were found."""
    hour = f"{intent.created_at.astimezone(dt.UTC):%Y%m%dT%HZ}"
    mark = hour if intent.origin is Origin.OBSERVATION else intent.id
    return f"cloudmon-{intent.token or intent.node_id}-{mark}".replace(":", "-").replace("/", "-")


def due(
    outlived: Sequence[Intent],
    intents: Sequence[Intent],
    views: Mapping[str, CloudView],
    findings: Mapping[tuple[FindingKind, str], Finding],
    moment: Moment,
) -> Iterator[Step | Waiting]:
    """What is to be done about snapshots that were kept long enough.

    Arguments:
        outlived: intents that took them, and of whose end none is written down.
        intents: all open ones on nodes.
        findings: all open ones.
    """
    under_way = [intent for intent in intents if intent.verb is Verb.SNAPSHOT_END]
    for intent in under_way:
        if intent.id in moment.in_flight:
            continue
        if intent.retry_at is not None and moment.now < intent.retry_at:
            why = f"the end of its snapshot {intent.arguments.get('kept')} is tried again: {intent.error}"
            yield Waiting(f"{intent.appliance.set_uid}/{WHOLE_SET}", why, intent.retry_at)
        elif _able(intent.cloud, views):
            yield _again(intent, findings, moment)
    begun = {(one.cloud, one.arguments.get("kept")) for one in under_way}
    for kept in outlived:
        what = (kept.cloud, str(kept.result.get("snapshot", "")))
        # What rules wanted within one hour is one, though several intents tell of it.
        if what[1] and what not in begun and _able(kept.cloud, views):
            begun.add(what)
            yield _begin(kept, what[1], moment)


def _able(cloud: str, views: Mapping[str, CloudView]) -> bool:
    view = views.get(cloud)
    return view is not None and view.healthy and "forget_snapshot" in view.verbs


def _begin(kept: Intent, snapshot: str, moment: Moment) -> Step:
    uid, ordinal = kept.appliance
    taken_at = kept.ended_at or kept.created_at
    intent = Intent(
        id=moment.new_id(),
        appliance=ApplianceId(uid, WHOLE_SET),
        tenant=kept.tenant,
        verb=Verb.SNAPSHOT_END,
        action_class=CLASS_OF[Verb.SNAPSHOT_END],
        origin=Origin.WANTED,
        incarnation=0,
        token="",
        cloud=kept.cloud,
        node_id="",
        reason=f"the snapshot of {taken_at:%Y-%m-%d %H:%MZ} was kept for as long as the settings say",
        evidence={"ordinal": ordinal, "incarnation": kept.incarnation, "intent": kept.id},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
        arguments={"node": kept.node_id, "name": name_of(kept), "kept": snapshot},
    )
    body = {
        "verb": intent.verb.value, "ordinal": WHOLE_SET, "cloud": intent.cloud, "origin": intent.origin.value,
        "action_class": intent.action_class.value, "reason": intent.reason, **intent.arguments,
    }  # fmt: skip
    entry = LogEntry(uid, moment.now, "intent.recorded", intent.id, body)
    return Step(intent, Change(tenant=kept.tenant, opens_intent=intent, log=(entry,)))


def _again(intent: Intent, findings: Mapping[tuple[FindingKind, str], Finding], moment: Moment) -> Step:
    snapshot, why = intent.arguments.get("kept"), intent.error or "no answer"
    message = f"the snapshot {snapshot} in cloud {intent.cloud} cannot be ended: {why}"
    found = tries.again(intent, moment, findings, chain=intent.appliance.set_uid, message=message)
    change = Change(tenant=intent.tenant, intents=(found.update,), findings=found.findings, log=found.log)
    return Step(found.intent, change, again=True)
