"""Start, ask and stop the real binary.

One Gateway is one process with a configuration of its own in a temporary
directory. stop() ends it with SIGTERM and checks what every test must be able
to rely on: exit status 0, and nothing from a sanitizer on standard error.
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from tests.upstream.bedrock_api import ACCESS_KEY_ID, REGION

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build" / "sluice"))
MASTER_KEY = "test-master-key-0123456789abcdef"
SANITIZER = re.compile(
    r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|Assertion .* failed|LeakSanitizer")
START_S = 120   # with sanitizers, on a busy machine

# Prices that make every cost a short number; tests compute with these.
PRICES = {"openai/gpt-4o-mini": (1.0, 2.0), "anthropic/claude-haiku-4-5": (3.0, 6.0),
          "gemini/gemini-2.5-flash": (0.5, 4.0)}

CONFIG = """\
listen: 127.0.0.1:{port}
admin:
  master_key: {master_key}
store: sqlite:{directory}/sluice.db
providers:
{providers}
models:
  - name: gpt-4o-mini
    deployments: [{{provider: openai, model: gpt-4o-mini}}]
  - name: claude-haiku-4-5
    deployments: [{{provider: anthropic, model: claude-haiku-4-5}}]
  - name: gemini-2.5-flash
    deployments: [{{provider: gemini, model: gemini-2.5-flash}}]
  - name: azure-mini
    deployments: [{{provider: azure, model: gpt-4o-mini}}]
  - name: omni-moderation-latest
    deployments: [{{provider: openai, model: omni-moderation-latest}}]
  - name: whisper-1
    deployments: [{{provider: openai, model: whisper-1}}]
  - name: tts-1
    deployments: [{{provider: openai, model: tts-1}}]
{models}
router:
  retries: {retries}
  {router}
prices:
{prices}
{extra}
"""


given_ports = set()


def port_range():
    """Below those that the kernel gives to connections, so that none of these takes it."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first = int(file.read().split()[0])
    except OSError:
        first = 0
    return range(12000, first) if first > 20000 else (0,)


def free_port():
    """Nothing listens there, and nobody here was given it before."""
    while True:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", random.choice(port_range())))
            except OSError:
                continue
            port = sock.getsockname()[1]
        if port not in given_ports:
            given_ports.add(port)
            return port


# Bound and never listening: connections are refused, and nobody else gets the port.
closed = socket.socket()
closed.bind(("127.0.0.1", 0))


def provider_block(name, kind, base_url, key=None, extra="", auth="none"):
    """`auth` stands where there is no key; None: `extra` says how."""
    lines = ["  %s:" % name, "    kind: %s" % kind, "    base_url: %s" % base_url]
    if key or auth:
        lines.append("    api_key: %s" % key if key else "    auth: %s" % auth)
    lines.append("    timeouts: {connect_ms: 3000, first_byte_ms: 3000, idle_ms: 3000}")
    return "\n".join(lines + ["    " + line for line in extra.splitlines()])


def fleet_providers(fleet):
    """The emulators as the operator would write them down."""
    blocks = [provider_block(name, name, fleet.url(name), fleet.key(name))
              for name in ("openai", "anthropic", "gemini")]
    blocks.append(provider_block("azure", "azure", fleet.url("azure"), fleet.key("azure"),
                                 "api_version: 2024-10-21"))
    blocks.append(provider_block(
        "bedrock", "bedrock", fleet.url("bedrock"), auth=None, extra="region: %s\naccess_key_id: "
        "%s\nsecret_access_key: %s" % (REGION, ACCESS_KEY_ID, fleet.key("bedrock"))))
    blocks.append(provider_block("cohere", "cohere", fleet.url("cohere"), fleet.key("cohere")))
    blocks.append(provider_block("mistral", "mistral", fleet.url("mistral"), fleet.key("mistral")))
    blocks.append(provider_block("openai-b", "openai", fleet.url("openai-b"),
                                 fleet.key("openai-b")))
    blocks.append(provider_block("refused", "openai",
                                 "http://127.0.0.1:%d/v1" % closed.getsockname()[1], "k"))
    return "\n".join(blocks)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Gateway:
    def __init__(self, directory, fleet, models="", extra="", providers="", retries=0, router="",
                 tls=None, environment=None, answer_ms=3000):
        """`answer_ms`: how long the emulators may take to connect, begin and go on."""
        self.directory = pathlib.Path(directory)
        self.fleet = fleet
        self.port = free_port()
        self.config = self.directory / "sluice.yaml"
        self.log = self.directory / "stderr.log"
        self.out = self.directory / "stdout.log"
        self.environment = environment or {}
        self.answer_ms = answer_ms
        self.settings = {"models": models, "extra": extra, "providers": providers,
                         "retries": retries, "router": router}
        self.process = None
        self.scheme = "https" if tls else "http"
        self.write_config()

    def write_config(self, **changes):
        settings = dict(self.settings, **changes)
        prices = "\n".join("  %s: {input: %s, output: %s}" % ((name,) + pair)
                           for name, pair in PRICES.items())
        self.config.write_text(CONFIG.format(
            port=self.port, master_key=MASTER_KEY, directory=self.directory, prices=prices,
            models=settings["models"], extra=settings["extra"], retries=settings["retries"],
            router=settings["router"],
            providers=fleet_providers(self.fleet).replace("_ms: 3000", "_ms: %d" % self.answer_ms)
            + "\n" + settings["providers"]))

    @property
    def url(self):
        return "%s://127.0.0.1:%d" % (self.scheme, self.port)

    # -- life ---------------------------------------------------------------
    def start(self, wait=True):
        environment = dict(os.environ, NO_PROXY="*", **self.environment)
        for name in list(environment):
            if name.endswith("_API_KEY"):
                del environment[name]
        # What a test leaves behind goes with its directory.
        environment.setdefault("RUNTIME_DIRECTORY", str(self.directory))
        environment.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--config", str(self.config)], cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=open(self.out, "ab"), stderr=open(self.log, "ab"),
            env=environment)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError("sluice ended with %d at start:\n%s"
                                     % (self.process.returncode, self.logs()))
            try:
                if self.request("GET", "/ready", key=None).status == 200:
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError("not ready after %d s:\n%s" % (START_S, self.logs()))

    def logs(self):
        return "".join(path.read_text(errors="replace") for path in (self.out, self.log)
                       if path.exists())

    def stop(self, limit_s=90):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not stop within %d s of SIGTERM\n%s"
                                 % (limit_s, self.logs()[-4000:]))
        self.process = None
        logs = self.logs()
        assert not SANITIZER.search(logs), "sanitizer report:\n%s" % logs[-8000:]
        assert status == 0, "exit status %d after SIGTERM:\n%s" % (status, logs[-4000:])

    # -- asking ---------------------------------------------------------------
    def request(self, method, path, body=None, key=MASTER_KEY, headers=None, timeout=60):
        """One request by the standard library, which repairs nothing."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Authorization", "Bearer " + key)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as err:
            return Answer(err.code, err.headers, err.read())

    def new_key(self, **members):
        answer = self.request("POST", "/admin/keys", dict({"name": "test"}, **members))
        assert answer.status == 201, (answer.status, answer.body)
        return answer.json()

    def connect(self, timeout=60):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def healthy(self):
        return self.request("GET", "/health", key=None).status == 200


def can_serve():
    """Why the binary cannot be tested, or None."""
    if not BINARY.exists():
        return "%s does not exist; run make" % BINARY
    answer = subprocess.run([str(BINARY), "serve", "--help"], capture_output=True, timeout=60)
    if answer.returncode != 0 or b"--config" not in answer.stdout:
        return "%s cannot serve yet" % BINARY
    return None
