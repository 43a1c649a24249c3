"""Token endpoints: a Google service account's assertion, Entra client credentials.

Tokens are counted and expire, so that a test sees how often they are got.
"""
import base64
import hashlib
import itertools
import json
import re
import subprocess
import time
import urllib.parse

from .app import dump
from .rules import Broken, expect
from .wire import Reply

ACCOUNT = "robot@emulated-project.iam.gserviceaccount.com"
# DigestInfo of SHA-256, RFC 8017 9.2.
PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class ServiceAccount:
    """A key pair made by openssl, and the JSON file Google would hand out."""

    def __init__(self, token_url):
        self.pem = subprocess.run(["openssl", "genrsa", "2048"], check=True,
                                  capture_output=True).stdout.decode()
        told = subprocess.run(["openssl", "rsa", "-noout", "-modulus"], check=True,
                              input=self.pem.encode(), capture_output=True).stdout.decode()
        self.modulus = int(re.search(r"Modulus=([0-9A-F]+)", told).group(1), 16)
        self.token_url = token_url

    def file(self):
        return json.dumps({"type": "service_account", "project_id": "emulated-project",
                           "private_key_id": "kid-1", "private_key": self.pem,
                           "client_email": ACCOUNT, "token_uri": self.token_url})

    def verify(self, assertion):
        head, claims, signature = assertion.split(".")
        expect(json.loads(unbase64(head)) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"},
               "invalid_grant: header", None)
        size = (self.modulus.bit_length() + 7) // 8
        opened = pow(int.from_bytes(unbase64(signature), "big"), 65537, self.modulus)
        digest = PREFIX + hashlib.sha256((head + "." + claims).encode()).digest()
        padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        expect(opened.to_bytes(size, "big") == padded, "invalid_grant: Invalid JWT Signature",
               None)
        claims = json.loads(unbase64(claims))
        expect(claims["iss"] == ACCOUNT and claims["aud"] == self.token_url
               and claims["scope"].endswith("/cloud-platform")
               and claims["exp"] <= claims["iat"] + 3600
               and abs(claims["iat"] - time.time()) < 300, "invalid_grant: claims", None)


class Tokens:
    def __init__(self):
        self.numbers = itertools.count(1)
        self.issued = []            # (token, expires at)
        self.lifetime_s = 3600
        self.failing = False

    def issue(self):
        token = "ya29.emulated-%d" % next(self.numbers)
        self.issued.append((token, time.monotonic() + self.lifetime_s))
        return Reply(200, [("Content-Type", "application/json")], dump(
            {"access_token": token, "expires_in": self.lifetime_s, "token_type": "Bearer"}))

    def is_good(self, token):
        return any(token == known and time.monotonic() < until for known, until in self.issued)

    def answer(self, request, check):
        expect(request.method == "POST" and request.header("content-type")
               == "application/x-www-form-urlencoded", "invalid_request", None)
        if self.failing:
            raise Broken("temporarily_unavailable", None, None, 503)
        form = dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))
        check(form)
        return self.issue()
