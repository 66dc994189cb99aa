"""Puts the agent into the user data of templates that want it."""

from __future__ import annotations

import structlog

from cloudmon.channel import tokens, userdata
from cloudmon.channel.authority import open_authority
from cloudmon.clock import Clock
from cloudmon.model.identity import Token
from cloudmon.model.sets import SetSpec
from cloudmon.settings import Settings, channel_key

_log = structlog.get_logger(__name__)


class Booting:
    """Completes user data. The key and the authority are looked up, or made, when the first template asks for them.

    Pure in what it is given: the same incarnation always gets the same user data, as long as the channel's key, its
    authority and its URL stay what they are.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: tuple[bytes, str] | None = None

    def __call__(self, user_data: str, token: Token, spec: SetSpec) -> str:
        channel = self._settings.channel
        if not spec.template.agent:
            return user_data
        if channel is None:
            _log.warning("a template wants the agent and the settings have no [channel]", set=spec.name)
            return user_data
        return userdata.render(
            user_data,
            token=self.token(token),
            url=channel.told_url,
            interval_s=spec.template.report_interval_s,
        )

    def token(self, token: Token) -> str:
        """The enrolment token of an incarnation. A secret."""
        return self.text(tokens.id_of_user_data(token.appliance, token.incarnation))

    def text(self, enrolment_id: str) -> str:
        """The token of an enrolment. A secret."""
        key, ca = self._secrets()
        return tokens.text(key, ca, enrolment_id)

    def _secrets(self) -> tuple[bytes, str]:
        if self._known is None:
            self._known = channel_key(self._settings), self._ca_hash()
        return self._known

    def _ca_hash(self) -> str:
        channel = self._settings.channel
        if channel is None or channel.tls == "proxy":
            return tokens.NO_CA
        folder = self._settings.monitor.state_dir / "channel"
        return open_authority(folder, channel.hosts, self._clock.now()).ca_hash
