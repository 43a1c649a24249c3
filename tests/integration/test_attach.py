"""What a request names by URL, for providers that read only what is in the body.

A small server of files stands on the loopback. One gateway may ask it (allow_cidr),
another fetches from public addresses only, a third fetches nothing.
"""
import base64
import http.server
import json
import socket
import struct
import threading
import zlib

import pytest

from tests.integration.gateway import Gateway, provider_block

BEDROCK = "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"
BYTES_MAX = 20000


def png(size=4):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = b"".join(b"\0" + b"\x20\x40\x60" * size for _ in range(size))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


PNG = png()
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body=b"", content_type="image/png", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        name = self.path.split("?")[0]
        if name.startswith("/picture"):
            self.reply(200, PNG)
        elif name == "/untyped":
            self.reply(200, PNG, None)
        elif name == "/lies":
            self.reply(200, PNG, "image/jpeg")
        elif name == "/paper.pdf":
            self.reply(200, PDF, "application/pdf")
        elif name == "/page":
            self.reply(200, b"<html>not found</html>", "text/html")
        elif name == "/false.png":
            self.reply(200, b"<html>sorry</html>", "image/png")
        elif name == "/large":
            self.reply(200, PNG + bytes(BYTES_MAX))
        elif name == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
            except OSError:
                pass
            self.close_connection = True
        elif name == "/moved":
            self.reply(302, Location="/picture.png")
        elif name == "/gone":
            self.reply(404)
        elif name == "/empty":
            self.reply(200)
        elif name == "/zipped":
            self.reply(200, PNG, Content_Encoding="gzip")
        elif name == "/hangs":
            self.server.released.wait(60)
            self.close_connection = True
        else:
            self.reply(500)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def files():
    server = Server(("127.0.0.1", 0), Files)
    server.seen, server.released = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gateway_options(fleet):
    models = ["  - name: either", "    strategy: priority", "    deployments:",
              "      - {provider: bedrock, model: %s, priority: 1}" % BEDROCK.split("/")[1],
              "      - {provider: anthropic, model: claude-haiku-4-5, priority: 2}"]
    return {"extra": "media: {fetch: true, bytes: %d, timeout_ms: 4000, allow_cidr: [127.0.0.1]}"
                     % BYTES_MAX,
            "models": "\n".join(models), "retries": 1,
            "providers": provider_block("local", "ollama", fleet.url("openai"),
                                        fleet.key("openai"))}


def another(binary, fleet, tmp_path_factory, name, extra):
    gateway = Gateway(tmp_path_factory.mktemp(name), fleet, extra=extra)
    gateway.start()
    return gateway


@pytest.fixture(scope="module")
def public_only(binary, fleet, tmp_path_factory):
    gateway = another(binary, fleet, tmp_path_factory, "public", "media: {fetch: true}")
    yield gateway, gateway.new_key(name="public")["key"]
    gateway.stop()


@pytest.fixture(scope="module")
def switched_off(binary, fleet, tmp_path_factory):
    gateway = another(binary, fleet, tmp_path_factory, "off", "")
    yield gateway, gateway.new_key(name="off")["key"]
    gateway.stop()


def address(files, name):
    return "http://127.0.0.1:%d%s" % (files.server_address[1], name)


def picture(url):
    return {"type": "image_url", "image_url": {"url": url}}


def ask_chat(gateway, key, model, parts, **more):
    return gateway.request("POST", "/v1/chat/completions", dict(
        {"model": model, "messages": [{"role": "user", "content":
                                       [{"type": "text", "text": "look"}] + parts}]}, **more),
        key=key)


def bytes_in(entry):
    """Every piece of base64 in what a provider got."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, str):
            text = value.split(";base64,")[-1]
            try:
                found.append(base64.b64decode(text, validate=True))
            except ValueError:
                pass
    walk(json.loads(entry.body))
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", [BEDROCK, "gemini-2.5-flash", "local/gpt-4o-mini"])
def test_picture(gateway, key, fleet, files, model, stream):
    answer = ask_chat(gateway, key, model, [picture(address(files, "/picture.png?a=1#b"))],
                      stream=stream)
    assert answer.status == 200, answer.body
    assert PNG in bytes_in(fleet.journal.last())
    assert b"127.0.0.1:%d" % files.server_address[1] not in fleet.journal.last().body
    assert "media_fetched;/messages/0/content/1" in answer.headers[
        "x-gateway-translation-warnings"]
    path, fields = files.seen[-1]
    assert path == "/picture.png?a=1"
    assert not {"authorization", "x-api-key", "cookie", "x-request-id", "traceparent"} & set(fields)


def test_a_target_that_takes_urls_gets_the_url(gateway, key, fleet, files):
    before = len(files.seen)
    answer = ask_chat(gateway, key, "claude-haiku-4-5", [picture(address(files, "/picture"))])
    assert answer.status == 200, answer.body
    assert address(files, "/picture").encode() in fleet.journal.last().body
    assert len(files.seen) == before


@pytest.mark.parametrize("name,mime", [("/untyped", "png"), ("/lies", "png")])
def test_the_bytes_say_what_it_is(gateway, key, fleet, files, name, mime):
    assert ask_chat(gateway, key, BEDROCK, [picture(address(files, name))]).status == 200
    parts = json.loads(fleet.journal.last().body)["messages"][0]["content"]
    assert [p["image"]["format"] for p in parts if "image" in p] == [mime]


def test_documents_of_other_callers(gateway, key, fleet, files):
    url = address(files, "/paper.pdf")
    answer = gateway.request("POST", "/v1/messages", {
        "model": BEDROCK, "max_tokens": 50, "messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "url", "url": url}},
            {"type": "text", "text": "read"}]}]}, key=key)
    assert answer.status == 200, answer.body
    assert PDF in bytes_in(fleet.journal.last())
    answer = gateway.request("POST", "/v1/responses", {
        "model": BEDROCK, "input": [{"role": "user", "content": [
            {"type": "input_file", "file_url": url}, {"type": "input_image", "image_url":
                                                      address(files, "/picture")},
            {"type": "input_text", "text": "read"}]}]}, key=key)
    assert answer.status == 200, answer.body
    assert {PDF, PNG} <= set(bytes_in(fleet.journal.last()))
    answer = gateway.request("POST", "/v1beta/models/%s:generateContent" % "gpt-4o-mini", {
        "contents": [{"role": "user", "parts": [
            {"fileData": {"mimeType": "application/pdf", "fileUri": url}}, {"text": "read"}]}]},
        key=key)
    assert answer.status == 200, answer.body
    assert PDF in bytes_in(fleet.journal.last())


def test_pictures_of_a_tools_result(gateway, key, fleet, files):
    answer = gateway.request("POST", "/v1/messages", {
        "model": BEDROCK, "max_tokens": 50,
        "tools": [{"name": "shot", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "shot",
                                               "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
                {"type": "image", "source": {"type": "url",
                                             "url": address(files, "/picture")}}]}]}]}, key=key)
    assert answer.status == 200, answer.body
    assert PNG in bytes_in(fleet.journal.last())


def test_many_are_fetched_once_each(gateway, key, fleet, files):
    del files.seen[:]
    urls = [address(files, "/picture%d" % (i % 12)) for i in range(14)]
    answer = ask_chat(gateway, key, BEDROCK, [picture(url) for url in urls])
    assert answer.status == 200, answer.body
    assert sorted(path for path, _ in files.seen) == sorted("/picture%d" % i for i in range(12))
    parts = json.loads(fleet.journal.last().body)["messages"][0]["content"]
    assert len([p for p in parts if "image" in p]) == 14


def refused(answer, *words):
    assert answer.status == 400, answer.body
    error = answer.json()["error"]
    assert error["param"] == "messages[0].content[1]", error
    assert error["code"] == "media_not_fetched", error
    for word in words:
        assert word in error["message"], error
    return error


@pytest.mark.parametrize("name,word", [
    ("/page", "Content-Type"), ("/false.png", "Content-Type"), ("/large", "media.bytes"),
    ("/endless", "media.bytes"), ("/moved", "redirects"), ("/gone", "status 404"),
    ("/empty", "empty"), ("/zipped", "compresses"), ("/hangs", "media.timeout_ms")])
def test_what_cannot_be_had_is_refused(gateway, key, fleet, files, name, word):
    refused(ask_chat(gateway, key, BEDROCK, [picture(address(files, name))]), word)
    assert not fleet.journal.entries()


def test_one_of_many_fails(gateway, key, fleet, files):
    parts = [picture(address(files, "/gone"))] + [
        picture(address(files, "/picture%d" % i)) for i in range(5)]
    refused(ask_chat(gateway, key, BEDROCK, parts), "status 404")
    too_many = [picture(address(files, "/picture%d" % i)) for i in range(17)]
    refused(ask_chat(gateway, key, BEDROCK, too_many), "16 URLs")
    assert not fleet.journal.entries()


def test_nobody_listens(gateway, key):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        refused(ask_chat(gateway, key, BEDROCK, [picture("http://127.0.0.1:%d/x" % port)]),
                "connection")


@pytest.mark.parametrize("url", [
    "ftp://example.com/a.png", "http://user:pw@127.0.0.1/a.png", "http://127.0.0.1:22/a",
    "http://127.1/a.png", "http://0x7f000001/a", "http://exa mple.com/a"])
def test_odd_urls_are_never_asked(gateway, key, url):
    answer = ask_chat(gateway, key, BEDROCK, [picture(url)])
    assert answer.status == 400, answer.body
    assert answer.json()["error"]["param"] == "messages[0].content[1]"


def test_a_caller_who_leaves_ends_the_fetch(gateway, key, files):
    body = json.dumps({"model": BEDROCK, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "look"}, picture(address(files, "/hangs"))]}]}).encode()
    before = len(files.seen)
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                     b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                     % (key.encode(), len(body), body))
        for _ in range(3000):
            if len(files.seen) > before:
                break
            threading.Event().wait(0.02)
    assert len(files.seen) > before
    assert gateway.request("GET", "/ready", key=None).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1",
                                  "169.254.169.254", "[fd00::1]", "[::ffff:127.0.0.1]"])
def test_private_addresses(public_only, fleet, files, host):
    gateway, key = public_only
    url = "http://%s:%d/picture" % (host, files.server_address[1])
    refused(ask_chat(gateway, key, BEDROCK, [picture(url)]), "not public")
    assert not fleet.journal.entries()


def test_another_address_than_the_allowed(gateway, key, files):
    url = "http://127.0.0.2:%d/picture" % files.server_address[1]
    refused(ask_chat(gateway, key, BEDROCK, [picture(url)]), "not public")


def test_switched_off(switched_off, files):
    gateway, key = switched_off
    before = len(files.seen)
    for model in (BEDROCK, "gemini-2.5-flash"):
        answer = ask_chat(gateway, key, model, [picture(address(files, "/picture"))])
        assert answer.status == 400
        error = answer.json()["error"]
        assert error["param"] == "messages[0].content[1]"
        assert error["code"] == "unsupported_for_target"
        assert "media.fetch" in error["message"]
    assert len(files.seen) == before


def test_another_target_takes_what_cannot_be_fetched(gateway, key, fleet, files):
    """The first target needs the bytes, the second reads the URL itself."""
    answer = ask_chat(gateway, key, "either", [picture(address(files, "/gone"))])
    assert answer.status == 200, answer.body
    assert [e.provider for e in fleet.journal.entries()] == ["anthropic"]


def test_failover_with_what_was_fetched(gateway, key, fleet, files):
    fleet.providers["bedrock"].plan.add("503")
    answer = ask_chat(gateway, key, "either", [picture(address(files, "/picture"))])
    assert answer.status == 200, answer.body
    entries = fleet.journal.entries()
    assert [e.provider for e in entries] == ["bedrock", "anthropic"]
    assert all(PNG in bytes_in(e) for e in entries)


def test_the_envelope_is_the_callers(gateway, key, files):
    answer = gateway.request("POST", "/v1/messages", {
        "model": BEDROCK, "max_tokens": 5, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": address(files, "/gone")}}]}]},
        key=key)
    assert answer.status == 400
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "messages[0].content[0]" in answer.json()["error"]["message"]
