"""A crowd of careless callers, from a seed.

Each caller draws what it asks and how badly it behaves: it reads slowly, hangs
up anywhere, sends the next request too early, resets streams. What it did and
saw is kept in `Asked`, one for each request, under the x-request-id that it
sent; test_chaos.py compares that with the gateway's and the providers' books.
"""
import json
import random
import socket
import struct
import threading
import time

from tests.integration.rawhttp import Broken, Connection, request_bytes
from tests.integration.shapes import SHAPES

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError:
    h2 = None

FAULTS = ["hangmid", "rst-40", "rst-300", "rst-900", "fin-0", "fin-250", "fin-1200", "clshort",
          "chunkshort", "noterminal", "errorevent", "429", "500", "503", "529", "401", "302",
          "html", "badjson", "badutf8", "huge-1", "drip", "nousage", "badusage", "gzip",
          "headerflood-400", "informational", "clte", "halfevent", "badstatus", "empty"]
SILENCE_S = 60   # nothing may take so long
READ_S = 120     # a dripping answer may


class Asked:
    """One request. `sent` and `pipelined` tell what the gateway must know of it."""

    def __init__(self, label, word):
        self.label = label
        self.word = word         # in the prompt, so that answers can be told apart
        self.sent = False        # every byte of it left here
        self.pipelined = False   # behind another one, which may have ended the connection
        self.status = None       # of the final answer, None when nothing came
        self.complete = False    # the answer's framing ended properly
        self.body = b""


class Plan:
    """What one request is, drawn from a caller's own random numbers."""

    OTHERS = [
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": None}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": None}),
        ("/v1/moderations", {"model": "omni-moderation-latest", "input": None}),
        ("/v1/audio/speech", {"model": "tts-1", "voice": "alloy", "input": None}),
    ]

    def __init__(self, rng, asked, key):
        words = rng.choice([1, 5, 40, 400])
        prompt = " ".join([asked.word] * words) + rng.choice(["", "", " @pause=%f" % (0.4 / words)])
        self.shape, self.stream = None, rng.random() < 0.6
        if rng.random() < 0.2:
            path, body = rng.choice(self.OTHERS)
            self.path = path
            self.body = {name: prompt if value is None else value
                         for name, value in body.items()}
            self.headers = [("Authorization", "Bearer " + key),
                            ("Content-Type", "application/json")]
        else:
            self.shape = rng.choice(list(SHAPES.values()))
            model = self.model(rng)
            self.path = self.shape.path(model, self.stream)
            self.body = self.shape.body(model, prompt, self.stream)
            self.headers = self.shape.headers(key)
        if rng.random() < 0.1:
            self.body["metadata"] = {"filler": "f" * rng.choice([100, 20000, 300000])}
        self.headers = self.headers + [("x-request-id", asked.label)]
        self.json = json.dumps(self.body).encode()

    def model(self, rng):
        draw = rng.random()
        if draw < 0.3 and self.shape.provider == "openai":
            return rng.choice(["several", "relayed", "relayed"])
        if draw < 0.6:
            return self.shape.model
        if draw < 0.65:
            return "no-such-model"
        return "%s/fault-%s" % (self.shape.provider, rng.choice(FAULTS))

    def bytes(self):
        return request_bytes(self.path, self.json, self.headers)

    @property
    def echoes(self):
        return self.shape is not None


class Caller(threading.Thread):
    def __init__(self, crowd, number):
        super().__init__(daemon=True)
        self.crowd = crowd
        self.number = number
        self.rng = random.Random("%s/%d" % (crowd.seed, number))
        self.asked = []
        self.problem = None

    def run(self):
        try:
            while not self.crowd.over.is_set():
                ways = [self.plain] * 4 + [self.slowly, self.hang_up, self.cut_request,
                                           self.pipeline]
                if h2 is not None:
                    ways += [self.streams, self.streams]
                try:
                    self.rng.choice(ways)()
                except TimeoutError:
                    raise AssertionError("silence: %s" % self.asked[-1].label)
                except (OSError, Broken):
                    pass
        except Exception as err:    # an assertion, or a bug of this file
            self.problem = "caller %d: %r" % (self.number, err)
            raise

    def draw(self):
        asked = Asked("chaos-%s-%d-%d" % (self.crowd.seed, self.number, len(self.asked)),
                      "zq%dx%dz" % (self.number, len(self.asked)))
        self.asked.append(asked)
        return asked, Plan(self.rng, asked, self.crowd.key(self.rng))

    def connect(self):
        return self.crowd.gateway.connect(SILENCE_S)

    def leave(self, sock):
        """With FIN or with RST."""
        if self.rng.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    @staticmethod
    def some(sock, size):
        """Bytes, or none when the answer is over or too slow for this caller."""
        sock.settimeout(0.5)
        try:
            return sock.recv(size)
        except TimeoutError:
            return b""

    @staticmethod
    def take(connection, asked):
        """Reads the answer. False: the connection ends with it."""
        response = connection.read()
        asked.status, asked.complete, asked.body = response.status, response.complete, response.body
        return response.complete and response.header("connection") != "close"

    # -- HTTP/1.1 -----------------------------------------------------------
    def plain(self):
        with Connection(self.connect(), READ_S) as connection:
            for _ in range(self.rng.randint(1, 4)):
                asked, plan = self.draw()
                connection.send(plan.bytes())
                asked.sent = True
                goes_on = self.take(connection, asked)
                self.judge(asked, plan)
                if not goes_on:
                    return

    def slowly(self):
        asked, plan = self.draw()
        with self.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for start in range(0, len(plan.bytes()), 50000):
                sock.sendall(plan.bytes()[start:start + 50000])
                time.sleep(0.01)
            asked.sent = True
            end = time.monotonic() + 3
            while time.monotonic() < end and not self.crowd.over.is_set():
                if not self.some(sock, self.rng.choice([1, 200, 4000])):
                    return
                time.sleep(0.01)

    def hang_up(self):
        asked, plan = self.draw()
        sock = self.connect()
        sock.sendall(plan.bytes())
        asked.sent = True
        left = self.rng.choice([0, 0, 1, 20, 400, 3000])
        while left > 0:
            data = self.some(sock, left)
            if not data:
                break
            left -= len(data)
        if self.rng.random() < 0.3:
            time.sleep(0.05)
        self.leave(sock)

    def cut_request(self):
        _, plan = self.draw()
        data = plan.bytes()
        sock = self.connect()
        sock.sendall(data[:self.rng.randrange(len(data))])
        if self.rng.random() < 0.3:
            time.sleep(0.05)
        self.leave(sock)

    def pipeline(self):
        drawn = [self.draw() for _ in range(self.rng.randint(2, 5))]
        for asked, _ in drawn[1:]:
            asked.pipelined = True
        with Connection(self.connect(), READ_S) as connection:
            connection.send(b"".join(plan.bytes() for _, plan in drawn))
            for asked, plan in drawn:
                asked.sent = True
                goes_on = self.take(connection, asked)
                self.judge(asked, plan)
                if not goes_on or self.rng.random() < 0.1:
                    return

    # -- HTTP/2 -------------------------------------------------------------
    def streams(self):
        sock = self.connect()
        session = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        session.initiate_connection()
        sock.sendall(session.data_to_send())
        open_streams = {}
        for _ in range(self.rng.randint(1, 6)):
            asked, plan = self.draw()
            if len(plan.json) > 16000:
                continue
            asked.pipelined = bool(open_streams)
            stream = session.get_next_available_stream_id()
            fields = [(":method", "POST"), (":scheme", "http"), (":authority", "chaos.test"),
                      (":path", plan.path)]
            session.send_headers(stream, fields + [(n.lower(), v) for n, v in plan.headers])
            session.send_data(stream, plan.json, end_stream=True)
            sock.sendall(session.data_to_send())
            asked.sent = True
            open_streams[stream] = asked, plan
        end = time.monotonic() + READ_S
        while open_streams and time.monotonic() < end:
            data = sock.recv(65536)
            if not data:
                break
            self.take_events(session, session.receive_data(data), open_streams)
            draw = self.rng.random()
            if open_streams and draw < 0.05:
                session.reset_stream(open_streams.popitem()[0])
            elif draw < 0.06:
                break
            sock.sendall(session.data_to_send())
        self.leave(sock)

    def take_events(self, session, events, open_streams):
        for event in events:
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.DataReceived):
                session.acknowledge_received_data(event.flow_controlled_length, stream)
            if stream not in open_streams:
                continue
            asked, plan = open_streams[stream]
            if isinstance(event, h2.events.ResponseReceived):
                asked.status = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                asked.body += event.data
            elif isinstance(event, h2.events.StreamEnded):
                asked.complete = True
                self.judge(asked, plan)
                del open_streams[stream]
            elif isinstance(event, h2.events.StreamReset):
                del open_streams[stream]

    # -- what is never right ------------------------------------------------
    def judge(self, asked, plan):
        assert asked.status in (200, 400, 401, 402, 404, 429, 500, 502, 503, 504, 529), asked.status
        if not plan.echoes:
            return
        others = [word for word in self.crowd.words(asked.body) if word != asked.word]
        assert not others, "%s got the answer of %s" % (asked.word, others)
        if asked.status != 200 or not asked.complete:
            return
        if plan.stream:
            clean = plan.shape.ended_clean(asked.body)
            assert clean or plan.shape.stream_error(asked.body), \
                "a stream that looks whole and is not: %r" % asked.body[-300:]
        elif "fault-" not in json.dumps(plan.body) + plan.path:
            assert asked.word.encode() in asked.body, asked.body[:300]


class Crowd:
    """Callers, a holder of keys that revokes them, and one who reloads."""

    def __init__(self, gateway, seed, callers=12):
        self.gateway = gateway
        self.seed = seed
        self.over = threading.Event()
        self.callers = [Caller(self, number) for number in range(callers)]
        self.keys = []
        self.problems = []

    @staticmethod
    def words(body):
        return {found.split(b"z")[0] and "zq%sz" % found.split(b"z")[0].decode("latin-1")
                for found in body.split(b"zq")[1:] if b"z" in found[:14]}

    def key(self, rng):
        return "gw_virt_wrong" if rng.random() < 0.02 else rng.choice(self.keys)

    def change_keys(self):
        while not self.over.wait(0.15):
            made = self.gateway.new_key(name="chaos", rpm=100000)
            self.keys.append(made["key"])
            if len(self.keys) > 6:
                oldest = self.ids.pop(0)
                self.keys.pop(0)
                answer = self.gateway.request("DELETE", "/admin/keys/" + oldest)
                assert answer.status in (200, 204), (answer.status, answer.body)
            self.ids.append(made["id"])

    def reload(self):
        number = 0
        while not self.over.wait(0.3):
            number += 1
            self.gateway.write_config(models=self.gateway.settings["models"] + (
                "  - name: extra-%d\n    deployments: [{provider: openai, model: gpt-4o-mini}]\n"
                % number if number % 3 else ""))
            answer = self.gateway.request("POST", "/admin/reload", {})
            assert answer.status in (200, 409, 503), (answer.status, answer.body)
            if number % 4 == 0:
                self.gateway.process.send_signal(1)

    def guarded(self, work):
        def run():
            try:
                work()
            except Exception as err:
                self.problems.append("%s: %r" % (work.__name__, err))
        return threading.Thread(target=run, daemon=True)

    def run(self, seconds):
        made = [self.gateway.new_key(name="chaos") for _ in range(5)]
        self.keys = [one["key"] for one in made]
        self.ids = [one["id"] for one in made]
        helpers = [self.guarded(self.change_keys), self.guarded(self.reload)]
        for thread in self.callers + helpers:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in self.callers + helpers:
            thread.join(300)
            assert not thread.is_alive(), "%s does not end" % thread
        self.problems += [caller.problem for caller in self.callers if caller.problem]
        return [asked for caller in self.callers for asked in caller.asked]
