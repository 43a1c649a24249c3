"""Failover beyond the next target: other keys, bigger windows, black holes, conversations."""
import socket
import time

import pytest

from tests.integration.gateway import provider_block
from tests.integration.rawhttp import Connection
from tests.integration.scripted import Reply, Scripted, completion, error
from tests.integration.shapes import SHAPES

EXTRA = """\
  hole/any: {input: 1, output: 1}
"""
MODELS = """\
  - name: keyed
    deployments: [{provider: keyed, model: m}]
  - name: keyed-too
    strategy: priority
    deployments:
      - {provider: keyed2, model: m, priority: 1}
      - {provider: script, model: backup, priority: 2}
  - name: windows
    strategy: priority
    deployments:
      - {provider: script, model: gpt-4, priority: 1}
      - {provider: script, model: gpt-4o, priority: 2}
      - {provider: script, model: gpt-4.1, priority: 3}
  - name: hole
    strategy: priority
    deployments:
      - {provider: hole, model: any, priority: 1}
      - {provider: script, model: after-hole, priority: 2}
  - name: talk
    strategy: round_robin
    deployments:
      - {provider: script, model: talk-a}
      - {provider: script, model: talk-b}
      - {provider: script, model: talk-c}
"""


class BlackHole:
    """An address that takes connections from nobody: its queue is full, SYNs are dropped."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        time.sleep(0.1)

    def close(self):
        for sock in self.fillers + [self.listener]:
            sock.close()


@pytest.fixture(scope="module")
def script():
    script = Scripted().start()
    yield script
    script.stop()


@pytest.fixture(scope="module")
def hole():
    hole = BlackHole()
    yield hole
    hole.close()


@pytest.fixture(scope="module")
def gateway_options(script, hole):
    more = "credentials: [{api_key: key-two}, {api_key: key-three}]"
    # The waits of the black hole are the product's own.
    hole_block = ("  hole:\n    kind: openai\n    base_url: http://127.0.0.1:%d/v1\n"
                  "    api_key: k\n" % hole.port)
    return {"providers": "\n".join([
                provider_block("script", "openai", script.url, "script-key"),
                provider_block("keyed", "openai", script.url, "key-one", more),
                provider_block("keyed2", "openai", script.url, "key-one", more), hole_block]),
            "models": MODELS, "extra": EXTRA, "retries": 2}


def ask(gateway, key, model, stream=False):
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES["chat"].ask(key, model=model, stream=stream))
        return connection.read()


def keys(script):
    return [entry[1].removeprefix("Bearer ") for entry in script.asked]


def chat(gateway, key, model, messages):
    answer = gateway.request("POST", "/v1/chat/completions",
                             {"model": model, "messages": messages}, key=key)
    assert answer.status == 200, answer.body
    return answer


class TestKeys:
    def test_by_turns(self, gateway, key, script):
        script.reset(m="Fine.")
        for _ in range(6):
            assert ask(gateway, key, "keyed").status == 200
        assert sorted(keys(script)) == sorted(["key-one", "key-two", "key-three"] * 2)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize("status", [401, 403, 429])
    def test_refused_key_rests(self, gateway, key, script, status, stream):
        """One key is refused: the same target is asked with another, and from then on."""
        mark = "-%d%s" % (status, stream)
        bad = ("key-two" if stream else "key-one") + mark
        refusal = Reply(error("no"), status=status, headers={"retry-after": "600"})

        def answer(body, credential):
            return refusal if credential.endswith(bad) else Reply(completion("Fine."))

        script.reset(m=answer)
        # Keys of its own: those that rested for an earlier case go on resting.
        settings = gateway.settings["providers"]
        for name in ("key-one", "key-two", "key-three"):
            settings = settings.replace(name, name + mark)
        gateway.write_config(providers=settings)
        assert gateway.request("POST", "/admin/reload", {}).status == 200
        for _ in range(6):
            response = ask(gateway, key, "keyed", stream)
            assert response.status == 200 and response.complete
        used = keys(script)
        assert used.count(bad) == 1 and len(used) == 7
        if status == 429:
            return
        # A reload forgets no rest, but a credential that is new in it is asked.
        gateway.write_config(providers=settings, extra=EXTRA + "# again\n")
        assert gateway.request("POST", "/admin/reload", {}).status == 200
        for _ in range(6):
            assert ask(gateway, key, "keyed", stream).status == 200
        assert keys(script).count(bad) == 1
        gateway.write_config(providers=settings.replace(bad, bad + "-new"))
        assert gateway.request("POST", "/admin/reload", {}).status == 200
        for _ in range(6):
            assert ask(gateway, key, "keyed", stream).status == 200
        used = keys(script)
        assert used.count(bad) == 1 and used.count(bad + "-new") == 2

    def test_all_keys_refused(self, gateway, key, script):
        """Then it is the target's turn to fail, and the next one's to serve."""
        script.reset(m=Reply(error("quota"), status=429), backup="Fine.")
        response = ask(gateway, key, "keyed-too")
        assert response.status == 429 or response.header("x-gateway-decision") == "script/backup"
        assert len(script.asked) == 3
        response = ask(gateway, key, "keyed-too")
        assert response.status == 200
        assert response.header("x-gateway-decision") == "script/backup"


class TestWindow:
    TOO_LONG = Reply(error("This model's maximum context length is 8192 tokens.",
                           "invalid_request_error", "context_length_exceeded"), status=400)

    def test_bigger_window(self, gateway, key, script):
        script.reset(**{"gpt-4": self.TOO_LONG, "gpt-4o": "Fine."})
        response = ask(gateway, key, "windows")
        assert response.status == 200 and script.models() == ["gpt-4", "gpt-4o"]

    def test_and_a_bigger_one(self, gateway, key, script):
        script.reset(**{"gpt-4": self.TOO_LONG, "gpt-4o": self.TOO_LONG, "gpt-4.1": "Fine."})
        response = ask(gateway, key, "windows", stream=True)
        assert response.status == 200 and script.models() == ["gpt-4", "gpt-4o", "gpt-4.1"]

    def test_none_is_bigger(self, gateway, key, script):
        script.reset(**{"gpt-4": self.TOO_LONG, "gpt-4o": self.TOO_LONG,
                        "gpt-4.1": self.TOO_LONG})
        response = ask(gateway, key, "windows")
        assert response.status == 400 and len(script.asked) == 3
        assert response.json()["error"]["code"] == "context_length_exceeded"

    def test_other_bad_requests_stay(self, gateway, key, script):
        script.reset(**{"gpt-4": Reply(error("Bad temperature.", "invalid_request_error"),
                                       status=400)})
        assert ask(gateway, key, "windows").status == 400
        assert script.models() == ["gpt-4"]


class TestBlackHole:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_within_the_connect_timeout(self, gateway, key, script, stream):
        # 1 s to connect, and little more; a busy machine is given a second try.
        for last in (False, True):
            script.reset()
            started = time.monotonic()
            response = ask(gateway, key, "hole", stream)
            took = time.monotonic() - started
            assert response.status == 200 and script.models() == ["after-hole"]
            assert response.header("x-gateway-retries") == "1" and took > 0.9
            if took < 2.5:
                break
            assert not last, took

    def test_open_breaker_costs_nothing(self, gateway, key, script):
        """Unless its cool-down is over already, which is longer every time."""
        for _ in range(5):
            for _ in range(5):
                ask(gateway, key, "hole")
            script.reset()
            response = ask(gateway, key, "hole")
            assert response.status == 200 and script.models() == ["after-hole"]
            if response.header("x-gateway-retries") == "0":
                return
        pytest.fail("it is asked every time")


class TestConversations:
    def turns(self, gateway, key, script, opening, count):
        messages = [{"role": "system", "content": "Be brief."},
                    {"role": "user", "content": opening}]
        used = []
        for turn in range(count):
            script.reset()
            chat(gateway, key, "talk", messages)
            used.append(script.models()[0])
            messages += [{"role": "assistant", "content": "Fine."},
                         {"role": "user", "content": "And then? %d" % turn}]
        return used

    def test_stays(self, gateway, key, script):
        seen = set()
        for n in range(9):
            used = self.turns(gateway, key, script, "Story number %d" % n, 4)
            assert len(set(used)) == 1, used
            seen.add(used[0])
        # Different conversations spread all the same.
        assert len(seen) > 1

    def test_not_another_callers(self, gateway, key, script):
        other = gateway.new_key(name="other")["key"]
        mine = self.turns(gateway, key, script, "The same opening", 2)
        theirs = [self.turns(gateway, other, script, "The same opening", 2) for _ in range(3)]
        assert mine[0] == mine[1]
        assert all(pair[0] == pair[1] for pair in theirs)

    def test_leaves_the_sick(self, gateway, key, script):
        messages = [{"role": "user", "content": "A long story"}]
        script.reset()
        chat(gateway, key, "talk", messages)
        home = script.models()[0]
        messages += [{"role": "assistant", "content": "Fine."}, {"role": "user", "content": "On"}]
        script.reset(**{home: Reply(error(), status=500)})
        answer = chat(gateway, key, "talk", messages)
        assert script.models()[0] == home and len(script.models()) == 2
        # It moved, and stays where it moved to.
        moved = answer.headers["x-gateway-decision"]
        script.reset()
        answer = chat(gateway, key, "talk", messages)
        assert answer.headers["x-gateway-decision"] == moved

    def test_single_turns_go_round(self, gateway, key, script):
        script.reset()
        for _ in range(12):
            ask(gateway, key, "talk")
        assert len(set(script.models())) > 1
