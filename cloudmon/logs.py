"""Structured logs: one line an event on standard error, with the ids of the tick, set and intent it belongs to.

The ids come from context variables (``structlog.contextvars.bound_contextvars(tick=…)``); workers carry them to their
threads. No line carries a secret: what is known to be one, or looks like one, is masked last of all, in tracebacks
too. Variables of tracebacks are never shown. A log that cannot be written stops nothing.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from cloudmon.clock import Clock

MASKED = "***"

_NAMES = (
    r"(?:passw(?:or)?d|passphrase|secret|signature|credential|authorization|user[_-]?data|security[_-]?token"
    r"|(?:api|access|private|log)[_-]?key)"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_PATTERNS = (
    re.compile(r"(\b[\w+.-]+://[^\s:/@]*:)[^\s@/]+(?=@)"),  # scheme://user:password@host
    re.compile(r"(\b(?:bearer|basic) )[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(rf"({_NAMES}[\w-]*[\"']?\s?[=:]\s?[\"']?)[^\s\"'&,;}}]+", re.IGNORECASE),  # password=…, "secret": "…"
)


class Mask:
    """Takes secrets out of what is shown to people.

    Arguments:
        secrets: texts that must not appear anywhere; those shorter than 4 characters are ignored, since masking them
            would garble every line and hide nothing.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these too from now on."""
        found = {*self._secrets, *(secret for secret in secrets if len(secret) >= 4)}
        self._secrets = sorted(found, key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without the secrets in it."""
        for secret in self._secrets:
            text = text.replace(secret, MASKED)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{MASKED}", text)
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """The value that is logged under ``name``, without the secrets in it, containers gone through."""
        if _SECRET_NAME.search(name) and value:
            return MASKED
        if isinstance(value, Mapping):
            return {key: self.value(item, str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(value if isinstance(value, str) else str(value))

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {name: self.value(value, name) for name, value in event.items()}


_mask = Mask()


def conceal(secrets: Iterable[str]) -> None:
    """Mask these texts too, until the next :func:`configure`."""
    _mask.add(secrets)


def masked(text: str) -> str:
    """The text without the secrets in it: what may be printed beside the log."""
    return _mask.text(text)


def configure(
    clock: Clock,
    *,
    form: Literal["console", "json"] = "console",
    level: Literal["debug", "info", "warning", "error"] = "info",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line, cloudmon's and those of the libraries it stands on (from warnings on), to one stream.

    May be called again: the last call counts.

    Arguments:
        form: ``console`` for people, ``json`` for collectors: one object a line.
        secrets: texts that are masked wherever they appear; :func:`conceal` adds to them.
        stream: None for standard error.
    """
    global _mask  # noqa: PLW0603  # as logging's own set-up, it is the process's
    _mask = Mask(secrets)
    lines = _Lines(sys.stderr if stream is None else stream)
    least = logging.getLevelNamesMapping()[level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Time(clock),
        structlog.processors.format_exc_info,
        _mask,
    ]
    structlog.configure(
        processors=[*before, _renderer(form, lines)],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    foreign = _Foreign(lines)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(form, lines)],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(least, logging.WARNING), force=True)


def _renderer(form: str, lines: _Lines) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    # The library's own choice of traceback shows local variables, secrets among them.
    return structlog.dev.ConsoleRenderer(
        colors=lines.on_terminal, exception_formatter=structlog.dev.plain_traceback, timestamp_key="at"
    )


class _Time:
    """Adds the instant, in UTC, by the clock that everything else goes by."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["at"] = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return event


class _Lines:
    """Writes whole lines, one at a time; drops what cannot be written, for whoever reads the log may have gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    @property
    def on_terminal(self) -> bool:
        return self._stream.isatty()

    def msg(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _Foreign(logging.Handler):
    """Log records of libraries."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self._lines.msg(line)
