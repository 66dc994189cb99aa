"""A monitor for tests of the agent: verifies, signs and adds reports up by an implementation of its own, and can be as
unkind as the real world."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECRET = bytes(range(32))
TOKEN_ID = "m-abcdefghijkl"
KEY_ID = "k.set.3.1.1.9999999999"


def text_of(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def plain(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_of(sections: dict[str, Any]) -> str:
    lines = [f"{name}:{hashlib.sha256(plain(sections[name]).encode()).hexdigest()}" for name in sorted(sections)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Authority:
    """A certificate authority made for one test run, and a server certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        now = dt.datetime.now(dt.UTC)
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"cloudmon test {name}")])
        made = self._builder(subject, subject, self.key, now)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = made.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._builder(x509.Name([]), subject, key, now)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        leaf = leaf.add_extension(names, critical=True)
        above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        signed = leaf.add_extension(above, critical=False).sign(self.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.chain = folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.chain.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _builder(subject: x509.Name, issuer: x509.Name, key: Any, now: dt.datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=30))
            .not_valid_after(now + dt.timedelta(days=30))
        )

    @property
    def fingerprint(self) -> str:
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return text_of(hashlib.sha256(der).digest())


class StubMonitor:
    """Listens on 127.0.0.1. What it was told is in ``reports``, ``results`` and ``state``."""

    def __init__(self, authority: Authority | None) -> None:
        self.authority = authority
        self.lock = threading.RLock()
        self.secrets: dict[str, bytes] = {f"e:{TOKEN_ID}": SECRET}
        self.config: dict[str, Any] = {"v": 1, "interval_s": 1, "applications": {}, "files": [], "jobs": {}}
        self.commands: list[dict[str, Any]] = []
        self.open: list[str] = []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.reports: list[dict[str, Any]] = []
        """Taken ones, in order."""
        self.heard: list[tuple[str, dict[str, Any]]] = []
        """Everything that was signed well: path and body."""
        self.tricks: list[tuple[str, str]] = []
        """(end of the path, what to do to the next request there), used up one by one."""
        self.broken: list[str] = []
        """What a true monitor would complain of."""
        self.sections: dict[str, Any] = {}
        self.state = ""
        self.seen: dict[str, int] = {}
        self.nonces: set[str] = set()
        self.instance = ""
        self.ahead_s = 0.0
        self.lead_s = 0.0
        """Seconds by which the dates that it takes are ahead of its clock, as after a clock that was set back."""
        self.serial = 1
        self.new_key = False
        self.no_new_keys = False
        """Keys that are told are no good."""
        self.away = False
        self.pyz = b""
        self.signatures = b""
        """What it says is known to be bad, as agents get it."""
        self.connections = 0
        self.most = 2 * 1024 * 1024
        """Bytes that it takes."""
        self.news = threading.Condition(self.lock)
        monitor = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

            def do_GET(self) -> None:
                monitor.get(self)

            def do_POST(self) -> None:
                monitor.post(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def process_request(self, request: Any, client_address: Any) -> None:
                monitor.connections += 1
                super().process_request(request, client_address)

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # agents are killed in these tests

        self.server = Server(("127.0.0.1", 0), Answering)
        self.scheme = "http"
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.chain)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    @property
    def token(self) -> str:
        named = self.authority.fingerprint if self.authority is not None else "-"
        return f"cm1.{named}.{TOKEN_ID}.{text_of(SECRET)}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def now(self) -> float:
        return time.time() + self.ahead_s

    def until(self, found: Callable[[], Any], *, within_s: float = 30) -> Any:
        """Wait until ``found`` says something; what it says."""
        end = time.monotonic() + within_s
        with self.news:
            while not (said := found()):
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not seen within {within_s} s; reports: {self.told()}")
                self.news.wait(min(left, 0.2))
            return said

    def told(self) -> list[tuple[int, str, str]]:
        return [(report["seq"], report["kind"], report["why"]) for report in self.reports]

    def command(self, name: str, verb: str, /, timeout_s: int = 20, expires_in_s: float = 60, **arguments: str) -> None:
        with self.news:
            self.commands.append(
                {
                    "id": name,
                    "verb": verb,
                    "arguments": arguments,
                    "expires_at": self.now() + expires_in_s,
                    "timeout_s": timeout_s,
                }
            )
            self.open.append(name)
            self.news.notify_all()

    def result(self, name: str, *, within_s: float = 30) -> dict[str, Any]:
        return dict(self.until(lambda: self.results.get(name), within_s=within_s)[0])

    def trick(self, path: str, *tricks: str) -> None:
        with self.lock:
            self.tricks += [(path, trick) for trick in tricks]

    # --- the line ---------------------------------------------------------------------------------------------------

    def get(self, line: Any) -> None:
        body = {"/channel/v1/agent.pyz": self.pyz}.get(line.path, b"")
        if line.path == "/channel/v1/ca.pem" and self.authority is not None:
            body = self.authority.pem
        self._write(line, 200 if body else 404, body, {})

    def post(self, line: Any) -> None:
        body = line.rfile.read(int(line.headers["Content-Length"]))
        with self.lock:
            trick = next((one for one in self.tricks if line.path.endswith(one[0])), None)
            if trick is not None:
                self.tricks.remove(trick)
        word = trick[1] if trick is not None else "drop" if self.away else ""
        if word == "drop":
            line.close_connection = True
            line.connection.close()
            return
        if word in {"401", "500", "503", "302"}:
            self._write(line, int(word), b"", {"Retry-After": "1", "Location": f"{self.url}/channel/v1/report"})
            return
        if word == "unsigned":
            self._write(line, 200, json.dumps({"v": 1, "taken": True, "seq": 10**6, "now": 1}).encode(), {})
            return
        who = self._verified(line, body)
        if who is None:
            self._write(line, 401, b"", {})
            return
        name, secret, nonce, created = who
        if not -300 < created - self.now() - self.lead_s < 2:
            clock = {"v": 1, "clock": True, "now": int(self.now())}
            self._signed(line, 409, clock, name, secret, nonce)
            return
        if word == "signed 503":
            self._signed(line, 503, None, name, secret, nonce, {"Retry-After": "1"})
            return
        if len(body) > self.most:
            self._signed(line, 413, None, name, secret, nonce)
            return
        if word == "signed 400":
            self._signed(line, 400, None, name, secret, nonce)
            return
        message = json.loads(body)
        with self.news:
            self.heard.append((line.path, message))
            self.news.notify_all()
        answer = self._answer(line.path, name, message, word)
        if word == "lose":
            line.close_connection = True
            line.connection.close()
            return
        if word == "wrong nonce":
            nonce = "A" * 22
        if word == "wrong secret":
            secret = b"x" * 32
        if answer is None:
            self._write(line, 401, b"", {})
            return
        self._signed(line, 200, answer, name, secret, nonce)

    def _verified(self, line: Any, body: bytes) -> tuple[str, bytes, str, int] | None:
        parameters = line.headers.get("Signature-Input", "")
        found = re.fullmatch(
            r'cm=(\("@method" "@path" "@query" "content-digest"\);created=(\d+);nonce="([A-Za-z0-9_-]{22,43})";'
            r'keyid="([A-Za-z0-9._:-]{1,128})";alg="hmac-sha256")',
            parameters,
        )
        if found is None:
            self.broken.append(f"signature input {parameters!r}")
            return None
        digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
        if line.headers.get("Content-Digest") != digest:
            self.broken.append("digest")
            return None
        with self.lock:
            if found[3] in self.nonces:
                self.broken.append("a nonce came twice")
                return None
            self.nonces.add(found[3])
            secret = self.secrets.get(found[4])
        if secret is None:
            return None
        base = (
            f'"@method": POST\n"@path": {line.path}\n"@query": ?\n"content-digest": {digest}\n'
            f'"@signature-params": {found[1]}'
        )
        mac = base64.b64encode(hmac.digest(secret, base.encode(), "sha256")).decode()
        if line.headers.get("Signature") != f"cm=:{mac}:":
            self.broken.append("signature")
            return None
        return found[4], secret, found[3], int(found[2])

    def _signed(
        self, line: Any, status: int, content: Any, name: str, secret: bytes, nonce: str, more: Any = None
    ) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
        dated = int(self.now() + self.lead_s)
        parameters = f'("@status" "content-digest");created={dated};nonce="{nonce}";keyid="{name}";alg="hmac-sha256"'
        base = f'"@status": {status}\n"content-digest": {digest}\n"@signature-params": {parameters}'
        mac = base64.b64encode(hmac.digest(secret, base.encode(), "sha256")).decode()
        headers = {"Content-Digest": digest, "Signature-Input": f"cm={parameters}", "Signature": f"cm=:{mac}:"}
        self._write(line, status, body, {**headers, **(more or {})})

    @staticmethod
    def _write(line: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
        line.send_response(status)
        for name, value in headers.items():
            line.send_header(name, value)
        line.send_header("Content-Length", str(len(body)))
        line.end_headers()
        line.wfile.write(body)

    # --- what is answered -------------------------------------------------------------------------------------------

    def _answer(self, path: str, name: str, message: dict[str, Any], word: str) -> dict[str, Any] | None:
        if path == "/channel/v1/enrol":
            return self._enrol(name, message)
        if not name.startswith("k."):
            return None
        if path == "/channel/v1/poll":
            return self._poll(message)
        if path == "/channel/v1/signatures":
            return self._signatures(message)
        return self._report(message, word)

    def _enrol(self, name: str, message: dict[str, Any]) -> dict[str, Any] | None:
        with self.lock:
            if not name.startswith("e:") or self.instance not in {"", message["instance"]}:
                return None
            self.instance = message["instance"]
            return {
                "v": 1, "appliance": "storefront/3", "key": self._key(), "interval_s": self.config["interval_s"],
                "config": self.config, "now": int(self.now()),
            }  # fmt: skip

    def _key(self) -> dict[str, Any]:
        name = f"k.set.3.1.{self.serial}.9999999999"
        secret = hashlib.sha256(name.encode()).digest()
        if not self.no_new_keys:
            self.secrets[name] = secret
        return {"id": name, "secret": text_of(secret), "expires_at": 9999999999}

    def _around(self, message: dict[str, Any]) -> dict[str, Any]:
        known = hashlib.sha256(plain(self.config).encode()).hexdigest()
        told: dict[str, Any] = {"v": 1, "now": int(self.now())}
        if message["config"] != known:
            told["config"] = self.config
        if self.new_key:
            self.new_key = False
            self.serial += 1
            told["key"] = self._key()
        told["commands"] = [
            one for one in self.commands if one["id"] in self.open and one["id"] not in message.get("have", [])
        ]
        return told

    def _poll(self, message: dict[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + min(message["wait_s"], 5)
        with self.news:
            while True:
                told = self._around(message)
                if told["commands"] or "config" in told or "key" in told or time.monotonic() >= end or self.away:
                    return told
                self.news.wait(0.2)

    def _signatures(self, message: dict[str, Any]) -> dict[str, Any]:
        """A hundred bytes at a time."""
        name = hashlib.sha256(self.signatures).hexdigest()
        part = self.signatures[message["offset"] : message["offset"] + 100].decode()
        told = {"hash": name, "size": len(self.signatures), "offset": message["offset"], "text": part}
        return {"v": 1, "now": int(self.now()), **told}

    def _report(self, message: dict[str, Any], word: str) -> dict[str, Any]:
        with self.news:
            told = {**self._around(message), "taken": True, "want": None}
            repeat = self.seen.get(message["boot"], 0) >= message["seq"]
            if not repeat and not self._take(message, word):
                told.update(taken=False, want="full")
            told["seq"] = self.seen.get(message["boot"], 0)
            self.news.notify_all()
            return told

    def _take(self, message: dict[str, Any], word: str) -> bool:
        if word == "want full":
            self.state = ""
        if message["kind"] == "full":
            sections = copy.deepcopy(message["sections"])
        else:
            if not self.state or message["base"] != self.state:
                return False
            sections = copy.deepcopy(self.sections)
            for name, change in message["sections"].items():
                if change.get("gone"):
                    del sections[name]
                    continue
                section = sections.setdefault(name, {})
                for item in change["del"]:
                    del section[item]
                section.update(change["set"])
        if hash_of(sections) != message["hash"]:
            self.broken.append(f"report {message['seq']} does not add up")
            return False
        self.sections, self.state = sections, message["hash"]
        self.seen[message["boot"]] = message["seq"]
        self.reports.append(message)
        for result in message["results"]:
            self.results.setdefault(result["id"], []).append(result)
            if result["id"] in self.open:
                self.open.remove(result["id"])
        return True
