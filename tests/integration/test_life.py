"""Life cycle: start, reload, drain, restart."""
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.integration.gateway import BINARY, MASTER_KEY, ROOT, Gateway, free_port
from tests.integration.rawhttp import Broken, Connection
from tests.integration.shapes import SHAPES

CHAT = SHAPES["chat"]
ALIAS = "  - name: fresh\n    deployments: [{provider: openai, model: gpt-4o-mini}]\n"


@pytest.fixture
def own(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    yield gateway
    gateway.stop()


def ask(gateway, key, **options):
    with Connection(gateway.connect()) as connection:
        connection.send(CHAT.ask(key, **options))
        return connection.read()


def until(condition, limit_s=60):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_reload_by_the_admin_api(own):
    key = own.new_key()["key"]
    assert ask(own, key, model="fresh").status == 404
    own.write_config(models=ALIAS)
    answer = own.request("POST", "/admin/reload", {})
    assert answer.status == 200 and answer.json()["changed"], answer.body
    assert until(lambda: ask(own, key, model="fresh").status == 200)


def test_reload_by_signal(own):
    key = own.new_key()["key"]
    own.write_config(models=ALIAS)
    own.process.send_signal(signal.SIGHUP)
    assert until(lambda: ask(own, key, model="fresh").status == 200)


BROKEN = [
    ("models", "  - name: bad\n    deployments: [{provider: nobody, model: x}]\n"),
    ("extra", "no_such_option: 1\n"),
    ("extra", "limits: {body_bytes: much}\n"),
    ("extra", "router: {retries: 1}\n"),
    ("extra", "workspaces: [\n"),
    ("extra", "log:\n  level: ${SLUICE_TEST_NOT_SET}\n"),
]


@pytest.mark.parametrize("where,text", BROKEN, ids=range(len(BROKEN)))
def test_bad_reload_is_refused_whole(own, where, text):
    key = own.new_key()["key"]
    good = own.config.read_text()
    own.write_config(**{where: text})
    answer = own.request("POST", "/admin/reload", {})
    assert answer.status == 400, answer.body
    message = json.dumps(answer.json()["error"])
    place = message.partition("sluice.yaml:")[2].split(":")
    assert place[0].isdigit() and place[1].split(" ")[0].isdigit(), message
    own.process.send_signal(signal.SIGHUP)
    assert until(lambda: "sluice.yaml:" in own.logs())
    assert ask(own, key).status == 200
    own.config.write_text(good)
    assert own.request("POST", "/admin/reload", {}).status == 200


def test_reload_loses_nothing(own):
    key = own.new_key()["key"]
    failed, done = [], threading.Event()

    def work():
        while not done.is_set():
            try:
                response = ask(own, key, prompt="@words=3 @pause=0.01", stream=True)
                if response.status != 200 or b"[DONE]" not in response.body:
                    failed.append(response)
            except (OSError, Broken) as err:
                failed.append(err)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(15):
        own.write_config(models=ALIAS if number % 2 else "")
        assert own.request("POST", "/admin/reload", {}).status == 200
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]


def test_drain(binary, fleet, tmp_path):
    """SIGTERM: the running stream ends properly, new connections are not taken."""
    gateway = Gateway(tmp_path, fleet).start()
    key = gateway.new_key()["key"]
    with Connection(gateway.connect()) as stream, Connection(gateway.connect()) as idle:
        stream.send(CHAT.ask(key, prompt="@words=20 @pause=0.1", stream=True))
        time.sleep(0.4)
        gateway.process.send_signal(signal.SIGTERM)
        assert until(lambda: refuses(gateway)), "still accepts"
        assert idle.closed()
        response = stream.read()
        assert response.complete and response.body.endswith(b"data: [DONE]\n\n")
        assert response.trailer("x-gateway-cost-usd")
    gateway.stop()


def refuses(gateway):
    try:
        with gateway.connect(5):
            return False
    except OSError:
        return True


def test_second_signal_ends_at_once(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet).start()
    key = gateway.new_key()["key"]
    with Connection(gateway.connect()) as stream:
        stream.send(CHAT.ask(key, prompt="@words=200 @pause=0.1", stream=True))
        stream.read_head()
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        gateway.process.send_signal(signal.SIGTERM)
        assert until(lambda: gateway.process.poll() is not None, 12)
    gateway.process.wait()
    gateway.process = None


def test_port_in_use_is_said(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet)
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.port))
        other.listen()
        done = subprocess.run([str(BINARY), "serve", "--config", str(gateway.config)],
                              capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert str(gateway.port) in done.stderr + done.stdout


def first_start(tmp_path, port):
    return subprocess.Popen(
        [str(BINARY), "serve", "--listen", "127.0.0.1:%d" % port], cwd=tmp_path,
        stdout=open(tmp_path / "out", "wb"), stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, stdin=subprocess.DEVNULL)


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_without_configuration(binary, tmp_path):
    """First start: the printed curl works as pasted, with the built-in provider."""
    port = free_port()
    process = first_start(tmp_path, port)
    try:
        out = tmp_path / "out"
        assert until(lambda: b"curl" in out.read_bytes(), 60), out.read_bytes()
        assert until(lambda: listens(port))
        text = out.read_text()
        start = text.index("curl")
        command = []
        for line in text[start:].splitlines():
            command.append(line.strip().rstrip("\\"))
            if not line.rstrip().endswith("\\"):
                break
        done = subprocess.run(" ".join(command).replace("curl", "curl -sS", 1), shell=True,
                              capture_output=True, text=True, timeout=60)
        answer = json.loads(done.stdout)
        assert answer["choices"][0]["message"]["content"], done.stdout + text
        assert "gw_virt_" in text
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0


def test_secrets_are_printed_once(binary, tmp_path):
    port = free_port()
    for number in range(2):
        process = first_start(tmp_path, port)
        out = tmp_path / "out"
        assert until(lambda: b"http://127.0.0.1" in out.read_bytes(), 60)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
        shown = b"gw_virt_" in out.read_bytes().replace(b"gw_virt_...", b"")
        assert shown == (number == 0)


def test_keys_off_says_so(binary, fleet, tmp_path):
    gateway = Gateway(tmp_path, fleet, extra="keys: off\n").start()
    body = CHAT.body("gpt-4o-mini", "x", False)
    assert gateway.request("POST", "/v1/chat/completions", body, key=None).status == 200
    assert gateway.request("GET", "/admin/keys", key=None).status == 401
    assert gateway.request("GET", "/admin/keys", key=MASTER_KEY).status == 200
    assert "key" in gateway.logs().lower()
    gateway.stop()


def test_contract_configuration(binary, tmp_path):
    """The documented configuration file is taken as it stands."""
    example = ROOT / "contrib" / "sluice.yaml"
    done = subprocess.run([str(BINARY), "check", str(example)], capture_output=True,
                          text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
