"""A provider that answers each model as a test scripted it, and counts.

Unlike the emulators (tests/upstream) it checks nothing: what matters is which model was
asked, how often, with which credential, and what came back.
"""
import http.server
import json
import threading
import time


def completion(text, finish="stop", model="m", usage=(10, 20), **message):
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "finish_reason": finish,
                         "message": dict({"role": "assistant", "content": text}, **message)}],
            "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1],
                      "total_tokens": sum(usage)}}


def error(message="no", kind="server_error", code=None):
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


class Reply:
    """What a model answers: a body, its bytes (raw), or a dropped connection (status 0)."""

    def __init__(self, body=None, status=200, headers=None, delay=0.0, raw=None):
        self.body = body
        self.raw = raw
        self.status = status
        self.headers = headers or {}
        self.delay = delay


class Scripted:
    """replies[model] is a Reply, a text, or a list of them to be used up (the last stays)."""

    def __init__(self, port=0):
        self.replies = {}
        self.asked = []  # (model, credential, body)
        self.paths = []  # of everything, GET as well
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.paths.append(("GET", self.path, self.headers.get("authorization")))
                self.answer(outer.replies.get("GET", Reply({"object": "list", "data": []})))

            def do_POST(self):
                size = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(size))
                # Gemini's API has the model in the path.
                if "/models/" in self.path and "model" not in body:
                    body["model"] = self.path.split("/models/")[1].split(":")[0]
                self.answer(outer.next_reply(body, self.headers.get("authorization", "")), body)

            def answer(self, reply, body=None):
                time.sleep(reply.delay)
                if reply.status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                if body and body.get("stream") and reply.status == 200 and reply.raw is None:
                    self.stream(reply)
                    return
                data = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
                streams = bool(body and body.get("stream") and reply.status == 200)
                self.send_response(reply.status)
                for name, value in dict({"content-type": "text/event-stream" if streams
                                         else "application/json",
                                         "content-length": str(len(data))},
                                        **reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def stream(self, reply):
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
                text = reply.body["choices"][0]["message"]["content"]
                parts = [{"delta": {"role": "assistant", "content": text}, "finish_reason": None},
                         {"delta": {}, "finish_reason": "stop"}]
                events = [dict(chunk, choices=[dict(part, index=0)]) for part in parts]
                events.append(dict(chunk, choices=[], usage=reply.body["usage"]))
                data = "".join("data: %s\n\n" % json.dumps(event) for event in events)
                data = (data + "data: [DONE]\n\n").encode()
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self):
        return "http://127.0.0.1:%d/v1" % self.server.server_address[1]

    def next_reply(self, body, credential):
        with self.lock:
            self.asked.append((body.get("model"), credential, body))
            reply = self.replies.get(body.get("model"), "Fine.")
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
        if callable(reply):
            reply = reply(body, credential)
        return reply if isinstance(reply, Reply) else Reply(completion(reply))

    def models(self):
        return [entry[0] for entry in self.asked]

    def reset(self, **replies):
        with self.lock:
            self.asked.clear()
            self.paths.clear()
            self.replies = replies

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
