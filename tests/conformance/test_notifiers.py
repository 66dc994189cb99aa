"""The notifiers that come along keep the contract, as anybody's has to."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Sequence

import pytest
import receivers
from receivers import PostOffice, Web

from cloudmon.notifiers.mail import Mail, MailOptions
from cloudmon.notifiers.webhook import Webhook, WebhookOptions
from cloudmon.testing import NotifierConformance
from cloudmon.testing.notifier_conformance import Taken

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


class TestWebhook(NotifierConformance):
    @pytest.fixture
    def web(self) -> Iterator[Web]:
        with receivers.web() as found:
            yield found

    @pytest.fixture
    def notifier(self, web: Web) -> Webhook:
        return self.hook(web.url)

    @pytest.fixture
    def taken(self, web: Web) -> Taken:
        return lambda: [post.body + str(sorted(post.headers.items())).encode() for post in web.posts]

    @pytest.fixture
    def unavailable(self) -> Webhook:
        with receivers.web() as gone:
            return self.hook(gone.url)

    @pytest.fixture
    def refusing(self) -> Iterator[Webhook]:
        with receivers.web(400) as web:
            yield self.hook(web.url)

    def hook(self, url: str) -> Webhook:
        return Webhook("ops", WebhookOptions(url=url), now=lambda: AT, timeout_s=5)  # type: ignore[arg-type]


class TestMail(NotifierConformance):
    @pytest.fixture
    def office(self) -> Iterator[PostOffice]:
        with receivers.post_office() as found:
            yield found

    @pytest.fixture
    def notifier(self, office: PostOffice) -> Mail:
        return self.mail(office.port)

    @pytest.fixture
    def taken(self, office: PostOffice) -> Taken:
        def found() -> Sequence[bytes]:
            return [b" ".join((told.as_bytes(), str(told.get_content()).encode())) for _, told in office.taken]

        return found

    @pytest.fixture
    def unavailable(self) -> Mail:
        with receivers.post_office() as gone:
            return self.mail(gone.port)

    @pytest.fixture
    def refusing(self, office: PostOffice) -> Mail:
        office.data = deque(["554 5.7.1 no"])
        return self.mail(office.port)

    def mail(self, port: int) -> Mail:
        options = {"host": "127.0.0.1", "port": port, "security": "none", "from": "a@b.example", "to": ["c@d.example"]}
        return Mail("ops", MailOptions.model_validate(options), now=lambda: AT, timeout_s=5)
