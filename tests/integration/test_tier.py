"""Strategy tier: the prompt decides which deployment is asked, and headers say so."""
import pytest

from tests.integration.rawhttp import Connection
from tests.integration.shapes import SHAPES
from tests.integration.test_observe import log_of

MODELS = """\
  - name: smart
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4o-mini, tier: simple}
      - {provider: openai, model: gpt-4o, tier: medium}
      - {provider: openai, model: o3, tier: complex}
  - name: two
    strategy: tier
    deployments:
      - {provider: openai, model: gpt-4o-mini, tier: simple}
      - {provider: openai, model: o3, tier: complex}
  - name: claudes
    strategy: tier
    deployments:
      - {provider: anthropic, model: claude-haiku-4-5, tier: simple}
      - {provider: anthropic, model: claude-opus-4-1, tier: complex}
  - name: geminis
    strategy: tier
    deployments:
      - {provider: gemini, model: gemini-2.5-flash, tier: simple}
      - {provider: gemini, model: gemini-2.5-pro, tier: complex}
"""

SHORT = "Hello, how are you?"
UNKNOWN = "Zxqj vvkw qpzz wjjx"
LONG = """Debug this code. It loses entries under load with several threads. Reason step by
step: find the race, explain the root cause, prove which interleavings lose data, derive the
worst case, then design a lock-free version with tests and show that it is linearizable.

```c
static int
push(struct queue *q, int v)
{
	if (q->tail - q->head == SIZE)
		return -1;
	q->items[q->tail & MASK] = v;
	atomic_store(&q->tail, q->tail + 1);
	return 0;
}
```
"""
TOOLS = {"tools": [{"type": "function", "function": {
    "name": "run_tests", "parameters": {"type": "object", "properties": {}}}}]}


@pytest.fixture(scope="module")
def gateway_options():
    return {"models": MODELS, "extra": "log: {level: debug}\n", "retries": 1}


def ask(gateway, key, shape, model, prompt, stream=False, extra=None):
    with Connection(gateway.connect()) as connection:
        connection.send(SHAPES[shape].ask(key, model=model, prompt=prompt, stream=stream,
                                          extra=extra))
        return connection.read()


def verdict(answer):
    assert answer.status == 200, answer.body
    return (answer.header("x-gateway-route-bucket"),
            float(answer.header("x-gateway-route-score")), answer.header("x-gateway-decision").partition("/")[2])


def test_a_short_prompt_goes_to_the_simple_tier(gateway, key):
    bucket, score, model = verdict(ask(gateway, key, "chat", "smart", SHORT))
    assert bucket == "simple" and 0 <= score < 0.33 and model == "gpt-4o-mini"


def test_long_reasoning_with_code_and_tools_goes_to_the_complex_tier(gateway, key):
    bucket, score, model = verdict(ask(gateway, key, "chat", "smart", LONG, extra=TOOLS))
    assert bucket == "complex" and 0.66 <= score <= 1 and model == "o3"


def test_an_unknown_language_goes_to_the_default(gateway, key):
    bucket, _, model = verdict(ask(gateway, key, "chat", "smart", UNKNOWN))
    assert bucket == "medium" and model == "gpt-4o"


def test_without_the_tier_the_next_higher_one_is_asked(gateway, key):
    bucket, _, model = verdict(ask(gateway, key, "chat", "two", UNKNOWN))
    assert bucket == "medium" and model == "o3"


@pytest.mark.parametrize("shape, alias, low, high", [
    ("chat", "smart", "gpt-4o-mini", "o3"),
    ("responses", "smart", "gpt-4o-mini", "o3"),
    ("messages", "claudes", "claude-haiku-4-5", "claude-opus-4-1"),
    ("gemini", "geminis", "gemini-2.5-flash", "gemini-2.5-pro"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_every_api_and_streams(gateway, key, shape, alias, low, high, stream):
    assert verdict(ask(gateway, key, shape, alias, SHORT, stream))[::2] == ("simple", low)
    assert verdict(ask(gateway, key, shape, alias, LONG, stream))[::2] == ("complex", high)


def test_where_no_classifier_ran_the_headers_say_so(gateway, key):
    assert verdict(ask(gateway, key, "chat", "gpt-4o-mini", LONG))[:2] == ("direct", 0)


def test_the_same_prompt_gets_the_same_verdict(gateway, key):
    seen = {verdict(ask(gateway, key, "chat", "smart", LONG)) for _ in range(5)}
    assert len(seen) == 1


def test_the_record_tells_it(gateway, key):
    for model, prompt, bucket in (("smart", SHORT, "simple"), ("gpt-4o-mini", LONG, "direct")):
        answer = ask(gateway, key, "chat", model, prompt)
        line = log_of(gateway, answer.header("x-gateway-request-id"))[-1]
        assert line["bucket"] == bucket
        if bucket == "direct":
            assert "category" not in line and "score_permille" not in line
        else:
            assert line["category"] == "chat" and 0 <= line["score_permille"] < 330
