"""The options of a generic cloud, and what a wrong one is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cloudmon_providers.generic.options import GenericOptions

GOOD = {"driver": "digitalocean", "create": {"ex_create_attr": {"tags": "{tag_pairs}"}}}
AFTER = {"method": "ex_create_tags", "arguments": {"resource": "{node}", "tags": "{tags}"}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"driver": "digitalocaen"}, "did you mean 'digitalocean'", id="misspelt driver"),
        pytest.param(
            {"driver": "libcloud.compute.drivers.ec2:EC2NodeDrivr"},
            r"driver\n.*has no driver EC2NodeDrivr; did you mean 'EC2NodeDriver'",
            id="misspelt class",
        ),
        pytest.param(
            {"driver": "libcloud.compute.drivers.ec2:Ec2nodedriver"},
            "did you mean 'EC2NodeDriver'",
            id="class in other case",
        ),
        pytest.param({"driver": "no_such:X"}, r"driver\n.*cannot be loaded: No module named 'no_such'", id="no module"),
        pytest.param({"driver": "json:loads"}, "is no compute driver", id="no driver at all"),
        pytest.param(
            {"driver": "openstack", "key": "me", "secret": "hush"},
            "OpenStack_1_1_NodeDriver needs ex_force_auth_url, the URL of its cloud's identity service",
            id="openstack without its URL",
        ),
        pytest.param({"driver": "ovh", "key": "me", "secret": "x"}, "missing.*'ex_project_id'", id="missing argument"),
        pytest.param({"driver": "rimuhosting", "arguments": {"zone": 1}}, "unexpected.*'zone'", id="unknown argument"),
        pytest.param({"create": {"x": "{tagz}", "y": "{tags}"}}, "placeholder: tagz", id="misspelt placeholder"),
        pytest.param({"create": {}}, "nothing tells whose node it is", id="no identity at all"),
        pytest.param({"create": {}, "name": "vm-{name}"}, "nothing tells whose", id="a name without the token"),
        pytest.param({"create": {}, "tag_after_create": AFTER}, "accept_risk", id="tags in a second call"),
        pytest.param(
            {"tag_after_create": {**AFTER, "arguments": {"x": "{nodes}"}}}, "placeholder: nodes", id="misspelt node"
        ),
        pytest.param({"codes": {"X": "Nonsense"}}, "none of CredentialsRejected", id="no such kind of error"),
        pytest.param({"words": {"ACTIVE": "alive"}}, "words", id="no such state"),
        pytest.param({"craete": {}}, "craete", id="misspelt key"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(given, words) -> None:
    with pytest.raises(ValidationError, match=words):
        GenericOptions.model_validate({**GOOD, **given})


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="tags deep in an argument"),
        pytest.param({"create": {}, "name": "{token}"}, id="the name alone"),
        pytest.param({"create": {}, "tag_after_create": {**AFTER, "accept_risk": True}}, id="the risk is accepted"),
        pytest.param({"driver": "EC2"}, id="upper case"),
        pytest.param({"driver": "libcloud.compute.drivers.ec2:EC2NodeDriver"}, id="a driver of another package"),
    ],
)
def test_each_way_to_tell_whose_a_node_is_will_do(given) -> None:
    GenericOptions.model_validate({**GOOD, **given})


def test_secrets_are_not_shown() -> None:
    options = GenericOptions.model_validate({**GOOD, "driver": "ec2", "key": "hush-key", "secret": "hush-secret"})
    assert "hush" not in repr(options)


def test_a_driver_that_repeats_its_arguments_gives_no_secret_away() -> None:
    """OpenStack's says which ``api_version`` it does not know, whatever stands there."""
    given = {**GOOD, "driver": "openstack", "arguments": {"api_version": "hush-token"}}
    with pytest.raises(ValidationError) as caught:
        GenericOptions.model_validate(given)
    (fault,) = caught.value.errors(include_input=False)
    assert "OpenStack" in fault["msg"]
    assert "hush" not in fault["msg"]


def test_words_are_compared_without_case() -> None:
    assert list(GenericOptions.model_validate({**GOOD, "words": {"SHELVED": "stopped"}}).words) == ["shelved"]
