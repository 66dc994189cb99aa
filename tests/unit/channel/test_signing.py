"""Signatures: one form, one spelling, and nothing that was changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.channel import signing

SECRET = b"s" * 32
NONCE = "n" * 22
BODY = b'{"v":1}'
INPUT = (
    b'cm=("@method" "@path" "@query" "content-digest");created=1772366400;nonce="%b";keyid="k.a.1.1.1.2";'
    % (NONCE.encode())
    + b'alg="hmac-sha256"'
)


def request(**other: object) -> list[tuple[bytes, bytes]]:
    told = {"method": "POST", "path": "/channel/v1/report", "body": BODY, "created": 1_772_366_400, "nonce": NONCE}
    return signing.sign_request(SECRET, "k.a.1.1.1.2", **{**told, **other})  # type: ignore[arg-type]


def fits(headers: list[tuple[bytes, bytes]], path: bytes = b"/channel/v1/report", query: bytes = b"") -> bool:
    signed = signing.parse_request(headers)
    return signed is not None and signing.request_fits(signed, SECRET, method=b"POST", path=path, query=query)


def test_a_request_is_signed_as_the_protocol_says_byte_for_byte() -> None:
    """Written out here without the code under test, so that both ends can be held to it."""
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(BODY).digest()).decode() + ":"
    params = INPUT.decode().removeprefix("cm=")
    base = "\n".join(
        [
            '"@method": POST',
            '"@path": /channel/v1/report',
            '"@query": ?',
            f'"content-digest": {digest}',
            f'"@signature-params": {params}',
        ]
    )
    mac = base64.b64encode(hmac.new(SECRET, base.encode(), hashlib.sha256).digest()).decode()
    assert request() == [
        (b"content-digest", digest.encode()),
        (b"signature-input", INPUT),
        (b"signature", f"cm=:{mac}:".encode()),
    ]


def test_a_reply_is_signed_over_its_status_and_its_body() -> None:
    headers = signing.sign_reply(SECRET, "k", status=200, body=BODY, created=5, nonce=NONCE)
    base = "\n".join(
        [
            '"@status": 200',
            f'"content-digest": {headers[0][1].decode()}',
            f'"@signature-params": ("@status" "content-digest");created=5;nonce="{NONCE}";keyid="k";alg="hmac-sha256"',
        ]
    )
    mac = base64.b64encode(hmac.new(SECRET, base.encode(), hashlib.sha256).digest())
    assert headers[2] == (b"signature", b"cm=:" + mac + b":")
    signed = signing.parse_reply(headers)
    assert signed is not None
    assert signing.reply_fits(signed, SECRET, status=200)
    assert not signing.reply_fits(signed, SECRET, status=201)
    assert not signing.reply_fits(signed, b"t" * 32, status=200)


def test_a_request_is_none_of_another_path_query_secret_or_body() -> None:
    assert fits(request())
    assert not fits(request(), path=b"/channel/v1/poll")
    assert not fits(request(), query=b"x=1")
    assert fits(request(query="x=1"), query=b"x=1")
    assert not signing.digest_fits(request()[0][1], BODY + b" ")
    assert signing.digest_fits(request()[0][1], BODY)


def test_a_reply_is_no_request_and_a_request_no_reply() -> None:
    assert signing.parse_reply(request()) is None
    assert signing.parse_request(signing.sign_reply(SECRET, "k", status=200, body=b"", created=1, nonce=NONCE)) is None


def changed(place: int, value: bytes) -> list[tuple[bytes, bytes]]:
    headers = request()
    headers[place] = (headers[place][0], value)
    return headers


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(INPUT.replace(b"cm=", b"sig=", 1), id="another label"),
        pytest.param(INPUT + b", " + INPUT.replace(b"cm=", b"c2=", 1), id="two signatures"),
        pytest.param(INPUT.replace(b' "content-digest"', b""), id="a component less"),
        pytest.param(INPUT.replace(b'"@query"', b'"@query" "host"'), id="a component more"),
        pytest.param(INPUT.replace(b'"@method" "@path"', b'"@path" "@method"'), id="another order"),
        pytest.param(INPUT.replace(b"hmac-sha256", b"hmac-sha512"), id="another algorithm"),
        pytest.param(INPUT.replace(b';alg="hmac-sha256"', b""), id="no algorithm"),
        pytest.param(INPUT.replace(b"created=1772366400", b"created=01772366400"), id="a nought before the date"),
        pytest.param(INPUT.replace(b"created=1772366400", b'created="1772366400"'), id="the date as text"),
        pytest.param(INPUT.replace(b"created=1772366400", b"created=-1"), id="a date before all dates"),
        pytest.param(INPUT.replace(b"created=1772366400", "created=١٢٣".encode()), id="digits of another script"),
        pytest.param(INPUT.replace(b"created=1772366400", b"created=1772366400.5"), id="parts of a second"),
        pytest.param(INPUT.replace(b";nonce=", b";expires=9;nonce="), id="an expiry"),
        pytest.param(INPUT.replace(NONCE.encode(), b"n" * 21), id="a short nonce"),
        pytest.param(INPUT.replace(NONCE.encode(), b"n" * 44), id="a long nonce"),
        pytest.param(INPUT.replace(NONCE.encode(), b"+" * 22), id="a nonce of other letters"),
        pytest.param(INPUT.replace(b"k.a.1.1.1.2", b""), id="no key"),
        pytest.param(INPUT.replace(b"k.a.1.1.1.2", b"k" * 129), id="a long key"),
        pytest.param(INPUT.replace(b"k.a.1.1.1.2", b"k a"), id="a blank in the key"),
        pytest.param(INPUT + b"\n", id="a line end"),
        pytest.param(INPUT + b" ", id="a blank"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_any_other_form_of_the_input_is_not_read(value: bytes) -> None:
    assert signing.parse_request(changed(1, INPUT)) is not None
    assert signing.parse_request(changed(1, value)) is None


def test_each_header_is_there_exactly_once() -> None:
    headers = request()
    for at in range(3):
        assert signing.parse_request(headers[:at] + headers[at + 1 :]) is None
        assert signing.parse_request([*headers, headers[at]]) is None
    assert signing.parse_request([(b"host", b"x"), *headers, (b"x-more", b"y")]) is not None


def test_another_spelling_of_the_same_signature_is_another_signature() -> None:
    """Base64 has four spellings of the last bits of 32 bytes; three of them were never sent."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    mac = request()[2][1]
    last = alphabet.index(mac[-3:-2])
    others = [alphabet[at : at + 1] for at in range(last & ~3, (last & ~3) + 4) if at != last]
    for letter in others:
        spelt = mac[:-3] + letter + mac[-2:]
        assert base64.b64decode(spelt[4:-1]) == base64.b64decode(mac[4:-1])
        assert not fits(changed(2, spelt))


@given(st.lists(st.tuples(st.sampled_from([b"content-digest", b"signature-input", b"signature"]), st.binary())))
def test_no_bytes_upset_the_parser(headers: list[tuple[bytes, bytes]]) -> None:
    assert signing.parse_request(headers) is None
    assert signing.parse_reply(headers) is None


@given(st.binary(max_size=200), st.text("abc019_-", min_size=22, max_size=43), st.integers(0, 10**12 - 1))
def test_what_is_signed_is_read_again_as_it_was(body: bytes, nonce: str, created: int) -> None:
    headers = request(body=body, nonce=nonce, created=created)
    random.Random(created).shuffle(headers)
    signed = signing.parse_request(headers)
    assert signed is not None
    assert (signed.nonce, signed.created, signed.key_id) == (nonce, created, "k.a.1.1.1.2")
    assert fits(headers)
    assert signing.digest_fits(signed.digest, body)
