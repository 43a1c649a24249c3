"""Three judges for each recorded crossing: what its caller gets is legal in the grammar, in
OpenAI's own document, and to the official SDK, which reads out of it what the grammar does.

The files are read where tests/unit/crossings_test.c compares them with what is made.
"""
import contextlib
import http.server
import json
import pathlib
import threading

import pytest

from tests.integration import grammar, openapi
from tests.integration.grammar.converse import message

ROOT = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "crossings"
GRAMMARS = {"openai_chat": "chat", "anthropic_messages": "messages",
            "openai_responses": "responses", "gemini_generate": "gemini",
            "bedrock_converse": "converse"}
# The published schema of chunks knows no calls of free-form tools; whoever declares
# such tools reads them as the whole reply has them.
UNPUBLISHED = "custom_tool_chat_anthropic"


class Case:
    def __init__(self, path):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        head, *sections = text.split("\n--- ")
        self.words = head.splitlines()[1].split()
        self.name, self.sections = path.stem, {}
        for section in sections:
            name, _, body = section.partition("\n")
            self.sections[name] = body
        self.grammar = GRAMMARS.get(self.words[0])
        self.streams = "events" in self.sections
        self.array = "array" in self.words

    @property
    def answer(self):
        text = self.sections.get("events", self.sections.get("answer"))
        return text if text is None else (text + "\n" * self.streams).encode(
            "utf-8", "surrogateescape")

    def bytes(self):
        """As they go over the wire."""
        if not (self.streams and self.grammar == "converse"):
            return self.answer
        out = b""
        for line in self.answer.decode().splitlines():
            kind, _, payload = line.partition(" ")
            if kind:
                out += message("exception" if kind[0] == "!" else "event", kind.lstrip("!"),
                               payload.encode())
        return out

    def judged(self):
        if not self.streams:
            value = json.loads(self.answer)
            return grammar.check_reply(self.grammar, value)
        options = {"array": True} if self.array else {}
        return grammar.check_stream(self.grammar, self.bytes(), **options)

    @property
    def refused(self):
        """A whole answer that is an error."""
        value = {} if self.streams else json.loads(self.answer)
        return (bool(value.get("error")) and "object" not in value) or set(value) == {"message"}


CASES = [case for case in map(Case, sorted(ROOT.glob("*.txt")))
         if case.answer is not None and case.grammar and case.name != UNPUBLISHED]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


def test_there_are_cases():
    assert {case.grammar for case in CASES if case.streams} == set(GRAMMARS.values())


def test_grammar(case):
    if case.refused:
        return
    answer = case.judged()
    broken = (any(case.name.startswith(n) for n in ("78_", "79_", "80_", "84_"))
              or "malformed_function_call" in case.name)
    assert bool(answer.error) == broken


def test_document(case):
    """OpenAI's own, of its own APIs."""
    if openapi.absent():
        pytest.skip(openapi.absent())
    if case.refused and case.grammar in ("chat", "responses"):
        openapi.judge_reply("error", json.loads(case.answer))
    elif case.streams:
        openapi.judge_stream(case.grammar, case.bytes())
    else:
        openapi.judge_reply(case.grammar, json.loads(case.answer))


# -- the official SDKs ------------------------------------------------------------------
TYPES = {"converse": "application/vnd.amazon.eventstream"}


@contextlib.contextmanager
def served(case):
    """A server that gives each request the case's answer."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = case.bytes()
            self.send_response(200)
            self.send_header("content-type", TYPES.get(case.grammar, "text/event-stream")
                             if case.streams and not case.array else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


HELLO = [{"role": "user", "content": "hi"}]


def read_chat(url, streams):
    """(text, [(name, arguments)]) as the SDK sees them; the same below."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0)
    if streams:
        try:
            with client.chat.completions.stream(model="m", messages=HELLO) as stream:
                final = stream.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            final = cut.completion
        except openai.ContentFilterFinishReasonError:
            return None
    else:
        final = client.chat.completions.create(model="m", messages=HELLO)
    said = final.choices[0].message
    return said.content or "", [(call.function.name, call.function.arguments)
                                for call in said.tool_calls or [] if call.type == "function"]


def read_responses(url, streams):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0)
    if streams:
        final = None
        with client.responses.stream(model="m", input="hi") as stream:
            for event in stream:
                final = getattr(event, "response", final)
        if final.status == "failed":
            raise openai.OpenAIError(final.error.message)
    else:
        final = client.responses.create(model="m", input="hi")
    return final.output_text, [(item.name, item.arguments) for item in final.output
                               if item.type == "function_call"]


def read_messages(url, streams):
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(base_url=url, api_key="x", max_retries=0)
    ask = dict(model="m", max_tokens=9, messages=HELLO)
    if streams:
        with client.messages.stream(**ask) as stream:
            final = stream.get_final_message()
    else:
        final = client.messages.create(**ask)
    return "".join(block.text for block in final.content if block.type == "text"), [
        (block.name, block.input) for block in final.content if block.type == "tool_use"]


def read_gemini(url, streams):
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="x", http_options={"base_url": url})
    ask = dict(model="m", contents="hi")
    chunks = (client.models.generate_content_stream(**ask) if streams
              else [client.models.generate_content(**ask)])
    text, calls = "", []
    for chunk in chunks:
        content = chunk.candidates[0].content if chunk.candidates else None
        for part in (content.parts if content else None) or []:
            text += part.text if part.text and not part.thought else ""
            if part.function_call:
                calls.append((part.function_call.name, part.function_call.args or {}))
    return text, calls


def read_converse(url, streams):
    boto3 = pytest.importorskip("boto3")
    from botocore import UNSIGNED
    from botocore.config import Config
    client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1",
                          config=Config(signature_version=UNSIGNED, proxies={},
                                        retries={"max_attempts": 0}))
    ask = dict(modelId="m", messages=[{"role": "user", "content": [{"text": "hi"}]}])
    text, calls = "", []
    if not streams:
        for block in client.converse(**ask)["output"]["message"]["content"]:
            text += block.get("text", "")
            if "toolUse" in block:
                calls.append((block["toolUse"]["name"], block["toolUse"]["input"]))
        return text, calls
    for event in client.converse_stream(**ask)["stream"]:
        start = event.get("contentBlockStart", {}).get("start", {})
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        if "toolUse" in start:
            calls.append((start["toolUse"]["name"], ""))
        if "toolUse" in delta:
            calls[-1] = (calls[-1][0], calls[-1][1] + delta["toolUse"]["input"])
    return text, calls


READERS = {"chat": read_chat, "responses": read_responses, "messages": read_messages,
           "gemini": read_gemini, "converse": read_converse}


def test_sdk(case):
    if case.refused or case.array:
        return  # a status tells errors; no SDK asks for a stream as an array
    answer = case.judged()
    with served(case) as url:
        if answer.error and case.streams:
            with pytest.raises(Exception) as told:
                READERS[case.grammar](url, case.streams)
            assert not isinstance(told.value, (AssertionError, AttributeError, TypeError))
            return
        read = READERS[case.grammar](url, case.streams)
    if read is None:
        return
    text, calls = read
    assert text == answer.text
    assert [name for name, _ in calls] == [call.name for call in answer.calls if not call.custom]
    for (_, arguments), call in zip(calls, [call for call in answer.calls if not call.custom]):
        if isinstance(arguments, str):
            assert (arguments or "{}") == call.arguments
        else:
            assert arguments == call.value
