"""Where credentials come from, that they are renewed, and that they are never shown."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from botocore.credentials import ReadOnlyCredentials

from cloudmon import errors
from cloudmon_providers.aws import boto
from tests.benchmarks import ec2_listing


class Rotating:
    """Stands where botocore's renewing credentials stand."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        key = self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]
        return ReadOnlyCredentials(key, "secret", f"session-of-{key}")


def used(ec2) -> list[str]:
    return [asked.headers["Authorization"].split("Credential=")[1].split("/")[0] for asked in ec2.asked]


def test_credentials_of_the_chain_are_taken_anew_when_they_were_renewed(ec2, make, monkeypatch) -> None:
    monkeypatch.setattr(boto, "chain", lambda profile: Rotating("FIRST", "FIRST", "SECOND"))
    provider = make(access_key="", secret_key=None)
    for _ in range(3):
        ec2.will(ec2_listing.page([]))
        provider.list_nodes()
    assert used(ec2) == ["FIRST", "FIRST", "SECOND"]
    assert ec2.asked[2].headers["x-amz-security-token"] == "session-of-SECOND"


def test_rejected_credentials_are_asked_for_anew_at_the_next_call(ec2, make, monkeypatch) -> None:
    chains = iter([Rotating("STALE"), Rotating("FRESH")])
    monkeypatch.setattr(boto, "chain", lambda profile: next(chains))
    provider = make(access_key="", secret_key=None)
    ec2.will_refuse("ExpiredToken").will(ec2_listing.page([]))
    with pytest.raises(errors.CredentialsRejected):
        provider.list_nodes()
    provider.list_nodes()
    assert used(ec2) == ["STALE", "FRESH"]


def test_a_chain_that_finds_nothing_says_what_can_be_done(make, monkeypatch) -> None:
    monkeypatch.setattr(boto, "chain", lambda profile: None)
    with pytest.raises(errors.CredentialsRejected, match="access_key and secret_key, a profile"):
        make(access_key="", secret_key=None).list_nodes()


def test_a_profile_that_is_not_there_is_ours_to_catch(make, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(errors.CredentialsRejected, match="nobody"):
        make(access_key="", secret_key=None, profile="nobody").list_nodes()


def test_the_secret_is_nowhere_to_be_seen(ec2, make) -> None:
    provider = make(session_token="the-session-token")
    ec2.will_refuse("AuthFailure")
    with pytest.raises(errors.CredentialsRejected) as caught:
        provider.list_nodes()
    cause = caught.value.__cause__
    shown = (
        f"{caught.value!r} {caught.value} {cause!r} {provider._options!r} {provider._source.current()!r} {ec2.forms}"
    )
    assert "wJalr" not in shown
    assert "the-session-token" not in shown


def test_given_credentials_never_load_boto3() -> None:
    """boto3 takes half a second to import: a plan with given credentials does without."""
    script = textwrap.dedent("""
        import datetime as dt, sys
        from cloudmon_providers.aws import AwsProvider
        options = AwsProvider.settings_model(
            region="us-east-1", access_key="a", secret_key="b", endpoint="http://127.0.0.1:9")
        provider = AwsProvider("east", options, now=lambda: dt.datetime.now(dt.UTC), timeout_s=1)
        try:
            provider.list_nodes()
        except Exception as error:
            assert type(error).__name__ == "Unreachable", error
        sys.exit("boto3" in sys.modules or "botocore" in sys.modules)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
