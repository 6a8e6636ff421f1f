"""What a server sends decides neither on memory nor on time."""

import asyncio
import gzip
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from finlake_clients import bounded_http
from finlake_clients.alert_webhook import AlertWebhook
from finlake_clients.gdelt.feed import GdeltFeed
from finlake_clients.source_errors import NotDataError, SourceUnavailableError, TooLargeError
from finlake_clients.stooq.feed import StooqPrices
from finlake_services.trade_feed.finnhub_rest import FinnhubRest
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.pacing import CallBudget
from spark.contracts.stooq_files import LAYOUTS, MAX_FILE_BYTES

HEADER = LAYOUTS[0].header.encode() + b"\n"


class Talker(BaseHTTPRequestHandler):
    """Sends more than anybody wants until the client hangs up, or a packed body."""

    most = 64_000_000
    sent = 0

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        is_packed = "packed" in self.path
        self.send_response(200)
        if is_packed:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        try:
            if is_packed:
                self.wfile.write(gzip.compress(HEADER + bytes(50_000_000)))
                return
            self.wfile.write(HEADER)
            while self.sent < self.most:
                type(self).sent += self.wfile.write(b"x" * 65_536)
        except OSError:
            return

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def talker() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Talker)
    Talker.sent = 0
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def stooq(url: str, folder: Path) -> StooqPrices:
    return StooqPrices(drop_location=str(folder), base_url=url, attempts=3, backoff_seconds=0)


def test_a_download_without_an_end_is_left_at_the_bound_and_not_tried_again(talker: str, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="more than 16,777,216 bytes"):
        stooq(talker, tmp_path).download("KO", "ko.us")
    # What the sockets hold comes on top.
    assert Talker.sent < MAX_FILE_BYTES + 16_000_000


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("some-token")
    return tmp_path / "secret"


def quote_from(url: str, token: Path) -> None:
    async def ask() -> None:
        rest = FinnhubRest(url, TokenFile(token), CallBudget())
        try:
            await rest.quote("KO")
        finally:
            await rest.close()

    asyncio.run(ask())


def test_a_quote_without_an_end_is_left_at_the_bound(talker: str, secret: Path) -> None:
    with pytest.raises(TooLargeError, match=r"quote of KO: the answer has more than 1,048,576 bytes"):
        quote_from(talker, secret)
    assert Talker.sent < 32_000_000


def test_a_packed_quote_is_not_unpacked(talker: str, secret: Path) -> None:
    with pytest.raises(NotDataError, match="packs its answer as 'gzip'"):
        quote_from(f"{talker}/packed", secret)


def test_what_a_webhook_answers_is_not_read(talker: str, secret: Path) -> None:
    secret.write_text(talker)
    AlertWebhook(url_file=str(secret)).send({"text": "hello"})
    assert Talker.sent < 32_000_000


def test_a_packed_answer_is_not_unpacked(talker: str, tmp_path: Path) -> None:
    with pytest.raises(NotDataError, match="packs its answer as 'gzip'"):
        stooq(f"{talker}/packed", tmp_path).download("KO", "ko.us")


def test_a_list_that_is_one_line_is_left(talker: str) -> None:
    with pytest.raises(TooLargeError, match="a line has more than 65,536 bytes"):
        GdeltFeed(base_url=talker, attempts=1).listed_slots(date(2018, 3, 14))
    assert Talker.sent < 16_000_000


def answer(*parts: bytes) -> httpx.Response:
    return httpx.Response(200, content=iter(parts))


def test_an_answer_that_takes_too_long_is_left() -> None:
    with pytest.raises(SourceUnavailableError, match="has not ended after -1 s"):
        bounded_http.body(answer(b"a", b"b"), "it", max_bytes=10, max_seconds=-1)


def test_lines_are_whole_whatever_the_parts() -> None:
    text = b"first\nsecond\r\n\nlast"
    for size in range(1, len(text) + 1):
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        assert list(bounded_http.lines(answer(*parts), "it", max_bytes=100)) == ["first", "second\r", "", "last"]
    with pytest.raises(TooLargeError):
        list(bounded_http.lines(answer(text), "it", max_bytes=5))
