"""The settings as a whole."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cloudmon.errors import SettingsError
from cloudmon.model.policies import Policy
from cloudmon.model.sets import SetSpec
from cloudmon.settings import options
from cloudmon.settings.channel import ChannelSettings
from cloudmon.settings.groups import BreakerSettings, CloudSettings, MonitorSettings, StoreSettings, SweepSettings
from cloudmon.settings.malware import MalwareSettings
from cloudmon.settings.notify import NotifySettings
from cloudmon.settings.policies import BUILT_IN, PolicySettings, built_in, merged
from cloudmon.settings.values import Name
from cloudmon.settings.wanted import SetSettings, TemplateSettings


class Settings(BaseSettings):
    """Everything that a monitor is told. Made by :func:`cloudmon.settings.load`, which also checks what names what."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    author: Annotated[str, Field(min_length=1, max_length=80)]
    """Who these sets are wanted by; a file changes and retires only what it authored. Default: ``file:`` and the
    file's stem, so rename a file only together with this key."""
    store: StoreSettings = StoreSettings()
    monitor: MonitorSettings = MonitorSettings()
    clouds: dict[Name, CloudSettings] = Field(default_factory=dict)
    templates: dict[Name, TemplateSettings] = Field(default_factory=dict)
    sets: dict[Name, SetSettings] = Field(default_factory=dict)
    breakers: BreakerSettings = BreakerSettings()
    sweep: SweepSettings = SweepSettings()
    policies: tuple[PolicySettings, ...] = ()
    channel: ChannelSettings | None = None
    """Where agents inside the appliances reach the monitor. None: nowhere."""
    notify: dict[Name, NotifySettings] = Field(default_factory=dict)
    """Who is told of findings, by a name of one's own. Empty: nobody is."""
    malware: MalwareSettings | None = None
    """What is known to be bad. None: nobody looks for it."""

    def specs(self) -> tuple[SetSpec, ...]:
        """What is wanted, as the model says it, by name of the set. The same file gives equal values each time."""
        templates = {name: template.template(name) for name, template in self.templates.items()}
        return tuple(self.sets[name].spec(name, templates[self.sets[name].template]) for name in sorted(self.sets))

    def rulebook(self) -> tuple[Policy, ...]:
        """What is detected, as the model says it: the built-in policy, changed as the settings say, then theirs."""
        return tuple(
            policy.policy(BUILT_IN if policy.name == built_in().name else self.author)
            for policy in merged(self.policies)
        )

    def options(self, cloud: str) -> BaseModel:
        """The checked options of one cloud: an instance of its provider's ``settings_model``."""
        return _checked(self.clouds[cloud].options, f"cloud {cloud!r}", cloud)

    def played(self) -> tuple[str, ...]:
        """Clouds whose machines are simulated and have insides that this process plays."""
        return tuple(name for name in self.clouds if options.plays(self.options(name)))

    def notifier_options(self, name: str) -> BaseModel:
        """The checked options of one notifier: an instance of its kind's ``settings_model``."""
        return _checked(self.notify[name].options, f"notifier {name!r}", name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values as given: :mod:`cloudmon.settings.sources` has put file and environment together already, and knows
        which is which."""
        return (init_settings,)


def _checked(options: object, whose: str, key: str) -> BaseModel:
    if not isinstance(options, BaseModel):
        raise SettingsError(f"the options of {whose} were not checked; read settings with load()", key=key)
    return options
