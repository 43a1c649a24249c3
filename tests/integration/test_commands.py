"""The subcommands: check, keys, mock, version, help."""
import http.client
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from tests.integration.gateway import BINARY, MASTER_KEY, free_port

GOOD = """\
listen: 127.0.0.1:8080
providers:
  openai:
    kind: openai
    api_key: k
models:
  - name: small
    deployments: [{provider: openai, model: gpt-4o-mini}]
"""

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="%s is not built" % BINARY)


def run(*arguments, **options):
    return subprocess.run([str(BINARY)] + list(arguments), capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, **options)


def test_version():
    done = run("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


@pytest.mark.parametrize("command", ["serve", "check", "keys", "mock", "version", None])
def test_help(command):
    done = run(*([command] if command else []) + ["--help"])
    assert done.returncode == 0
    assert "sluice" in done.stdout and len(done.stdout) > 60
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["dance"], ["serve", "--no-such"], ["check", "--no-such"],
                                       ["keys"], ["keys", "dance"], []], ids=str)
def test_wrong_use(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "--help" in done.stderr or "usage" in done.stderr.lower()


def test_check_good(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    assert run("check", str(path)).returncode == 0


@pytest.mark.parametrize("old,new,line,word", [
    ("kind: openai", "kind: opnai", 4, "kind"),
    ("listen: 127.0.0.1:8080", "listen: here", 1, "listen"),
    ("provider: openai", "provider: opnai", 8, "provider"),
    ("models:", "modles:", 6, "modles"),
    ("api_key: k", "api_key: ${SLUICE_NOT_SET_HERE}", 5, "SLUICE_NOT_SET_HERE"),
    ("api_key: k", "api_key: ${file:/no/such/file}", 5, "cannot be read"),
    ("api_key: k", "api_key: k\n    base_url: http://169.254.169.254/v1", 6, "never connected to"),
    ("name: small", "name: [small]", 7, "name"),
    ("model: gpt-4o-mini}]", "model: gpt-4o-mini}", None, ""),
    ("name: small", "name: small\n    name: twice", 8, "name"),
], ids=range(10))
def test_check_bad(tmp_path, old, new, line, word):
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    done = run("check", str(path))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    found = re.findall(re.escape(str(path)) + r":(\d+):(\d+)", said)
    assert found, said
    assert word in said, said
    if line:
        assert str(line) in [place[0] for place in found], said


def test_check_finds_every_problem(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace("kind: openai", "kind: opnai").replace("name: small", "nmae: x")
                    .replace("listen: 127.0.0.1:8080", "listen: here"))
    done = run("check", str(path))
    lines = set(re.findall(r"bad\.yaml:(\d+):", done.stdout + done.stderr))
    assert {"1", "4", "7"} <= lines, done.stdout + done.stderr


def test_check_rubbish(tmp_path):
    path = tmp_path / "rubbish.yaml"
    for text in ("", "\t", "- a\n- b\n", "{" * 5000, "a: &a [*a]\n", "%YAML 9.9\n---\n", "\x00"):
        path.write_text(text)
        done = run("check", str(path))
        assert done.returncode in (0, 1), (text[:20], done)
        if text:
            assert done.returncode == 1 and "rubbish.yaml" in done.stdout + done.stderr
    assert run("check", str(tmp_path / "missing.yaml")).returncode == 1


def test_check_shows_no_secret(tmp_path):
    path = tmp_path / "secret.yaml"
    path.write_text(GOOD.replace("api_key: k", "api_key: [sk-very-secret-value]"))
    done = run("check", str(path))
    assert done.returncode == 1
    assert "sk-very-secret-value" not in done.stdout + done.stderr


def test_keys_commands(gateway):

    where = dict(os.environ, SLUICE_MASTER_KEY=MASTER_KEY)

    def keys(*arguments):
        done = run("keys", *arguments, "--url", gateway.url, env=where, cwd=gateway.directory)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    assert gateway.request("POST", "/admin/workspaces", {"slug": "acme"}).status == 201
    made = keys("create", "--name", "from the shell", "--rpm", "60", "--models", "gpt-4o-mini",
                "--tpm", "90000", "--daily-budget", "2.5", "--workspace", "acme")
    secret = re.search(r"gw_virt_[0-9a-f]{32,}", made).group(0)
    ident = re.search(r"vk_[0-9A-Za-z]+", made).group(0)
    listed = keys("list")
    assert ident in listed and "from the shell" in listed and secret not in listed
    shown = gateway.request("GET", "/admin/keys/" + ident).json()
    assert shown["tpm"] == 90000 and shown["daily_budget_usd"] == 2.5
    assert shown["workspace"] == "acme"
    assert run("keys", "create", "--tpm", "many", env=where).returncode == 2
    assert re.search(r"nvk_[0-9a-f]{64}", keys("create", "--surface", "nexus"))
    wrong = run("keys", "create", "--surface", "none", "--url", gateway.url, env=where)
    assert wrong.returncode == 1 and "stolabs, ingate, nexus, astrolabe, or gateway" in wrong.stderr
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}
    assert gateway.request("POST", "/v1/chat/completions", body, key=secret).status == 200
    keys("revoke", ident)
    assert gateway.request("POST", "/v1/chat/completions", body, key=secret).status == 401
    wrong = run("keys", "list", "--url", gateway.url, env=dict(where, SLUICE_MASTER_KEY="wrong"), cwd=gateway.directory)
    assert wrong.returncode == 1 and wrong.stderr


@pytest.fixture(scope="module")
def mock(binary, tmp_path_factory):
    port = free_port()
    directory = tmp_path_factory.mktemp("mock")
    process = subprocess.Popen([str(BINARY), "mock", "--listen", "127.0.0.1:%d" % port],
                               stdout=open(directory / "out", "wb"), stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL)
    url = "http://127.0.0.1:%d" % port
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url + "/health", timeout=20).read()
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, (
                (directory / "out").read_text())
            time.sleep(0.05)
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Sanitizer" not in (directory / "out").read_text(errors="replace")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestMock:
    def test_openai(self, mock, stream):
        openai = pytest.importorskip("openai", reason="Python package openai is not installed")
        client = openai.OpenAI(base_url=mock + "/v1", api_key="any", max_retries=0, timeout=60)
        messages = [{"role": "user", "content": "hi"}]
        if stream:
            with client.chat.completions.stream(
                    model="mock-model", messages=messages,
                    stream_options={"include_usage": True}) as events:
                answer = events.get_final_completion()
        else:
            answer = client.chat.completions.create(model="mock-model", messages=messages)
        assert answer.choices[0].message.content and answer.usage.total_tokens > 0

    def test_responses(self, mock, stream):
        openai = pytest.importorskip("openai", reason="Python package openai is not installed")
        client = openai.OpenAI(base_url=mock + "/v1", api_key="any", max_retries=0, timeout=60)
        if stream:
            with client.responses.stream(model="mock-model", input="hi") as events:
                answer = events.get_final_response()
        else:
            answer = client.responses.create(model="mock-model", input="hi")
        assert answer.output_text and answer.usage.total_tokens > 0

    def test_anthropic(self, mock, stream):
        anthropic = pytest.importorskip("anthropic",
                                        reason="Python package anthropic is not installed")
        client = anthropic.Anthropic(base_url=mock, api_key="any", max_retries=0, timeout=60)
        ask = {"model": "mock-model", "max_tokens": 50,
               "messages": [{"role": "user", "content": "hi"}]}
        if stream:
            with client.messages.stream(**ask) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**ask)
        assert answer.content[0].text and answer.usage.output_tokens > 0

    def test_gemini(self, mock, stream):
        pytest.importorskip("google.genai", reason="Python package google-genai is not installed")
        from google import genai
        client = genai.Client(api_key="any", http_options={"base_url": mock})
        ask = {"model": "mock-model", "contents": "hi"}
        if stream:
            text = "".join(part.text or "" for part in
                           client.models.generate_content_stream(**ask))
        else:
            text = client.models.generate_content(**ask).text
        assert text


def test_mock_embeddings(mock):
    request = urllib.request.Request(
        mock + "/v1/embeddings", json.dumps({"model": "mock-embed", "input": ["a", "b"]}).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer any"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        value = json.loads(answer.read())
    assert len(value["data"]) == 2 and value["data"][0]["embedding"]


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def post_to_mock(url, path, body, fault):
    """What came before the end, and whether the framing ended properly."""
    request = urllib.request.Request(url + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "X-Mock": fault})
    with urllib.request.urlopen(request, timeout=60) as answer:
        try:
            return answer.read(), True
        except http.client.IncompleteRead as broken:
            return broken.partial, False


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_mock_cut_at_a_byte(mock, stream):
    body = dict(CHAT, stream=stream)
    whole, complete = post_to_mock(mock, "/v1/chat/completions", body, "")
    assert complete
    for length in (1, 100, len(whole) - 1):
        part, complete = post_to_mock(mock, "/v1/chat/completions", body, "cut_byte=%d" % length)
        assert (len(part), complete) == (length, False)
    part, complete = post_to_mock(mock, "/v1/chat/completions", body, "cut_byte=%d" % 1000000)
    assert complete and len(part) == len(whole)


def test_mock_says_what_it_does_not_do(mock):
    with pytest.raises(urllib.error.HTTPError) as refused:
        post_to_mock(mock, "/v1/images/generations", {"model": "m", "prompt": "x"}, "")
    assert refused.value.code == 404
    assert "does not answer this path" in json.load(refused.value)["error"]["message"]
