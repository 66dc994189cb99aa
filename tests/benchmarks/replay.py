"""A local EC2 that answers DescribeInstances with a generated listing, as fast as it can.

    python -m tests.benchmarks.replay <estate> <set uid> <instances>

Prints its port, then serves until it is ended.
"""

from __future__ import annotations

import http.server
import sys
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks import ec2_listing

ADDRESSES = (
    f'<DescribeAddressesResponse xmlns="{ec2_listing.NAMESPACE}"><requestId>r</requestId><addressesSet/>'
    "</DescribeAddressesResponse>"
).encode()
PAGE = 1_000


def listing(estate: str, set_uid: str, count: int, *, size: int) -> list[bytes]:
    """The pages of a listing in which every appliance of a set of so many runs."""
    serials = range(1, count + 1)
    items = [ec2_listing.instance(one, estate=estate, set_uid=set_uid, word="running") for one in serials]
    firsts = range(0, count, size)
    return [
        ec2_listing.page(items[first : first + size], f"page-{turn}" if first + size < count else "")
        for turn, first in enumerate(firsts, 1)
    ]


class Replay(http.server.BaseHTTPRequestHandler):
    """Answers by the parameters of EC2's query API, in the URL or in the body."""

    protocol_version = "HTTP/1.1"
    pages: list[bytes] = []  # noqa: RUF012 - set once, before serving
    whole: bytes = b""

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, query: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if asked["Action"] == "DescribeAddresses":
            body = ADDRESSES
        elif asked["Action"] != "DescribeInstances":
            self.send_error(400, f"{asked['Action']} was not recorded")
            return
        elif "MaxResults" in asked:
            body = self.pages[int(asked.get("NextToken", "page-0").removeprefix("page-"))]
        else:
            body = self.whole
        self.send_response(200)
        self.send_header("Content-Type", "text/xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    estate, set_uid, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    Replay.pages = listing(estate, set_uid, count, size=PAGE)
    (Replay.whole,) = listing(estate, set_uid, count, size=count)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
