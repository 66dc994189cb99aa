"""Settings: one TOML file, the environment over it (``CLOUDMON_STORE__URL``), secrets from files.

The only room that reads configuration and the environment; everybody else is handed values. :func:`load` changes
nothing and keeps nothing, so a running service may call it again at any time (:class:`SettingsFile` tells when)."""

from cloudmon.settings.ambient import obeyed
from cloudmon.settings.channel import ChannelSettings
from cloudmon.settings.files import SettingsFile
from cloudmon.settings.groups import BreakerSettings, CloudSettings, MonitorSettings, StoreSettings, SweepSettings
from cloudmon.settings.keys import channel_key, log_key
from cloudmon.settings.loading import load, problems
from cloudmon.settings.malware import MalwareSettings
from cloudmon.settings.notify import NotifySettings
from cloudmon.settings.root import Settings
from cloudmon.settings.secrets import secrets_of

__all__ = [
    "BreakerSettings",
    "ChannelSettings",
    "CloudSettings",
    "MalwareSettings",
    "MonitorSettings",
    "NotifySettings",
    "Settings",
    "SettingsFile",
    "StoreSettings",
    "SweepSettings",
    "channel_key",
    "load",
    "log_key",
    "obeyed",
    "problems",
    "secrets_of",
]
