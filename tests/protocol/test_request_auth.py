"""A request's token holds for one method, one target and one minute, under one key."""

import hashlib
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.request_auth import AUDIENCE, EMPTY_BODY_DIGEST, body_digest, read_issuer, sign_request, verify_request

NODE = "8f14e45f-ceea-467f-9f0b-111111111111"
KEY = Ed25519PrivateKey.generate()
SHA = hashlib.sha256(b"").digest()


def token(**changes):
    arguments = {"node": NODE, "method": "GET", "target": "/v1/work?wait=20", "sha256": SHA, "now_s": time.time()}
    return sign_request(KEY, **(arguments | changes))


def test_a_fresh_token_verifies():
    claims = verify_request(token(), KEY.public_key(), method="GET", target="/v1/work?wait=20")
    assert (claims.iss, claims.bdg) == (NODE, EMPTY_BODY_DIGEST)
    assert read_issuer(token()) == NODE


@pytest.mark.parametrize(
    ("method", "target"), [("PUT", "/v1/work?wait=20"), ("GET", "/v1/work?wait=21"), ("GET", "/v1/work")]
)
def test_it_holds_for_no_other_request(method, target):
    with pytest.raises(jwt.InvalidTokenError, match="signed for"):
        verify_request(token(), KEY.public_key(), method=method, target=target)


def test_another_key_does_not_verify():
    with pytest.raises(jwt.InvalidSignatureError):
        verify_request(token(), Ed25519PrivateKey.generate().public_key(), method="GET", target="/v1/work?wait=20")


def test_an_old_token_is_stale():
    with pytest.raises(jwt.ExpiredSignatureError):
        verify_request(token(now_s=time.time() - 120), KEY.public_key(), method="GET", target="/v1/work?wait=20")


def test_unsigned_tokens_are_refused():
    claims = jwt.decode(token(), options={"verify_signature": False})
    forged = jwt.encode(claims, key="", algorithm="none")
    with pytest.raises(jwt.InvalidTokenError):
        verify_request(forged, KEY.public_key(), method="GET", target="/v1/work?wait=20")


def test_a_token_may_not_live_long():
    claims = jwt.decode(token(), options={"verify_signature": False}) | {"exp": int(time.time()) + 86_400}
    with pytest.raises(jwt.InvalidTokenError, match="lives longer"):
        verify_request(
            jwt.encode(claims, KEY, algorithm="EdDSA"), KEY.public_key(), method="GET", target="/v1/work?wait=20"
        )


def test_the_body_digest_is_of_the_body():
    assert body_digest(hashlib.sha256(b"x").digest()) != EMPTY_BODY_DIGEST
    assert AUDIENCE
