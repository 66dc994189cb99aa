"""Structured logs."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc
import structlog

from cloudmon import logs
from cloudmon.engine.workers import ThreadedWorkers
from cloudmon.testing import FakeClock

LONG_S = 30.0


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def configured(stream: io.StringIO, **options: Any) -> Any:
    logs.configure(FakeClock(), stream=stream, **{"form": "json", **options})
    return structlog.get_logger("test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_its_time_level_and_words(stream: io.StringIO) -> None:
    configured(stream).info("launched", appliance="storefront/3")
    assert lines(stream) == [
        {"event": "launched", "appliance": "storefront/3", "level": "info", "at": "2026-03-01T12:00:00.000Z"}
    ]


def test_lines_carry_the_ids_of_the_context_and_no_longer(stream: io.StringIO) -> None:
    log = configured(stream)
    with structlog.contextvars.bound_contextvars(tick=7, set="storefront", intent="i1"):
        log.info("inside")
    log.info("outside")
    inside, outside = lines(stream)
    assert (inside["tick"], inside["set"], inside["intent"]) == (7, "storefront", "i1")
    assert "tick" not in outside


def test_workers_carry_the_ids_to_their_threads(stream: io.StringIO) -> None:
    log = configured(stream)
    workers: ThreadedWorkers[str] = ThreadedWorkers(str, ["east"], clock=FakeClock())
    with structlog.contextvars.bound_contextvars(tick=7):
        future = workers.submit("east", lambda _: log.info("called"))
    future.result(LONG_S)
    workers.close(LONG_S)
    assert lines(stream)[0]["tick"] == 7


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log = configured(stream, level="warning")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_warnings_of_libraries_come_out_the_same_way_and_their_chatter_does_not(stream: io.StringIO) -> None:
    configured(stream)
    logging.getLogger("somelibrary").info("chatter")
    logging.getLogger("somelibrary").warning("it is %s, password=hunter2", "bad")
    (line,) = lines(stream)
    assert line["event"] == "it is bad, password=***"
    assert (line["level"], line["logger"]) == ("warning", "somelibrary")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("postgresql://cm:hunter2@db/x", "postgresql://cm:***@db/x", id="url"),
        pytest.param("postgresql://db:5432/x", "postgresql://db:5432/x", id="url-with-a-port-only"),
        pytest.param("sqlite:///var/a.db", "sqlite:///var/a.db", id="url-of-a-file"),
        pytest.param("password=hunter2 rejected", "password=*** rejected", id="assignment"),
        pytest.param('{"secret_key": "hunter2"}', '{"secret_key": "***"}', id="json"),
        pytest.param("?Signature=abc%3D&Action=Run", "?Signature=***&Action=Run", id="query"),
        pytest.param("?UserData=c2VjcmV0&x=1", "?UserData=***&x=1", id="user-data"),
        pytest.param("X-Auth: Bearer abcdefgh12", "X-Auth: Bearer ***", id="bearer"),
        pytest.param("token cm1-a-b-3-1 of east/small", "token cm1-a-b-3-1 of east/small", id="our-token-is-none"),
        pytest.param("the swordfish swims", "the *** swims", id="known-secret"),
    ],
)
def test_what_is_or_looks_like_a_secret_is_masked_in_any_text(text: str, shown: str) -> None:
    assert logs.Mask(["swordfish"]).text(text) == shown


@pytest.mark.parametrize("name", ["password", "db_password", "aws_secret_access_key", "user_data", "log_key", "ApiKey"])
def test_a_value_with_the_name_of_a_secret_is_masked_wherever_it_stands(stream: io.StringIO, name: str) -> None:
    configured(stream).info("made", **{name: "hunter2"}, options={"deep": [{name: "hunter2"}]})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0]["options"] == {"deep": [{name: "***"}]}


def test_values_that_are_no_secrets_are_as_they_were(stream: io.StringIO) -> None:
    configured(stream).info("made", token="cm1-a-b-3-1", count=3, ok=True, none=None, key="east/small")
    line = lines(stream)[0]
    assert tuple(line[name] for name in ("token", "count", "ok", "none", "key")) == (
        "cm1-a-b-3-1",
        3,
        True,
        None,
        "east/small",
    )


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_is_shown_without_secrets_and_without_its_variables(stream: io.StringIO, form: str) -> None:
    secret, local = "sword" + "fish", "tu" + "na"
    log = configured(stream, form=form, secrets=[secret])

    def failing(variable: str) -> None:
        raise ValueError(secret)

    try:
        failing(local)
    except ValueError:
        log.exception("it failed")
    shown = stream.getvalue()
    assert "ValueError: ***" in shown
    assert "failing(local)" in shown
    assert secret not in shown
    assert local not in shown


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_a_database_says_of_a_password_is_not_told(stream: io.StringIO, form: str) -> None:
    """Neither in the words of the error nor in those of what caused it."""
    secret = "sword" + "fish"
    log = configured(stream, form=form, secrets=[secret])
    cause = psycopg.OperationalError(f"connection failed: password {secret} is expired")

    def connect() -> None:
        raise sqlalchemy.exc.OperationalError(f"SET SESSION AUTHORIZATION '{secret}'", {}, cause) from cause

    try:
        connect()
    except sqlalchemy.exc.OperationalError as error:
        log.exception("it failed", said=error, words=str(error))
        logging.getLogger("sqlalchemy.pool").warning("lost: %s", error, exc_info=error)
    shown = stream.getvalue()
    assert shown.count("is expired") >= 4
    assert secret not in shown


def test_a_secret_that_is_learned_later_is_masked_from_then_on(stream: io.StringIO) -> None:
    log = configured(stream)
    logs.conceal(["swordfish"])
    log.info("the swordfish swims")
    logging.getLogger("somelibrary").warning("with a swordfish")
    assert "swordfish" not in stream.getvalue()
    assert logs.masked("swordfish") == "***"


def test_secrets_of_few_characters_do_not_garble_every_line() -> None:
    assert logs.Mask(["", "a"]).text("a cat") == "a cat"


def test_on_a_console_a_line_is_for_people(stream: io.StringIO) -> None:
    configured(stream, form="console").info("launched", appliance="storefront/3")
    shown = stream.getvalue()
    assert shown.startswith("2026-03-01T12:00:00.000Z")
    assert "launched" in shown
    assert "appliance=storefront/3" in shown
    assert "\x1b" not in shown


def test_a_log_that_nobody_takes_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configured(Gone()).info("launched")
    logging.getLogger("somelibrary").warning("bad")


def test_lines_of_many_threads_do_not_mix(stream: io.StringIO) -> None:
    log = configured(stream)
    threads = [threading.Thread(target=lambda: [log.info("x" * 100) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert len(lines(stream)) == 200
