"""What the four emulators share: routing of one exchange, key, journal, fault.

A provider is a subclass with `name`, `credentials` (how its key may be sent)
and `handle(request, entry)`, which returns a Reply or raises Broken;
`error(status, message, broken)` makes the provider's own error body.
"""
import asyncio
import itertools
import json

from . import faults
from .rules import Broken, expect
from .wire import Reply

CONTROL = "/__control/"
CARRIERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


def dump(value, pretty=False):
    return json.dumps(value, ensure_ascii=False, indent=1 if pretty else None).encode()


def parse_object(body):
    """A JSON object, refusing what a careful sender never writes."""
    def unique(pairs):
        seen = dict(pairs)
        expect(len(seen) == len(pairs), "We could not parse the JSON body of your request: "
               "a member stands twice.", None)
        return seen

    def no_constant(text):
        raise Broken("We could not parse the JSON body of your request: %s." % text)
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique,
                           parse_constant=no_constant)
    except (UnicodeDecodeError, ValueError) as err:
        raise Broken("We could not parse the JSON body of your request: %s." % err)
    expect(isinstance(value, dict), "The JSON body must be an object.", None)
    return value


# What only a gateway may say; sent with every answer, and never to be passed on.
FORGED = [(name, "forged") for name in (
    "X-Gateway-Cost-Usd", "X-Gateway-Cost-Exact-Usd", "X-Gateway-Decision", "X-Gateway-Cache",
    "X-Gateway-Forged", "X-Nexus-Routed-Provider", "X-Nexus-Cache", "X-Nexus-Hook",
    "X-Nexus-Quota-Used", "X-Nexus-Forged", "X-Astrolabe-Selected-Model", "X-Astrolabe-Forged",
    "X-Ingate-Served-By", "X-Ingate-Request-Id", "X-Stolabs-Forged")]


class Provider:
    name = ""
    models = ()

    def __init__(self, key, journal, label=None):
        self.key = key
        self.journal = journal
        self.label = label or self.name
        self.plan = faults.Plan()
        self.numbers = itertools.count(1)

    # -- for subclasses --------------------------------------------------
    def credentials(self, request):
        """The keys the request carries, as [(carrier, key)]."""
        found = []
        for name, value in request.headers:
            if name.lower() == "authorization":
                scheme, _, rest = value.partition(" ")
                found.append(("authorization", rest if scheme.lower() == "bearer" else value))
            elif name.lower() in CARRIERS:
                found.append((name.lower(), value))
        return found

    def new_id(self, prefix):
        return "%s%s%06d" % (prefix, self.label, next(self.numbers))

    def check_model(self, model):
        """Known by its family, so that tests may pick any current name."""
        known = str(model).startswith(tuple(self.models) + ("fault-", "lax-", "odd-", "house-"))
        if not known:
            raise Broken(self.unknown_model(model), None, "model_not_found", 404)

    @staticmethod
    def lenient(model):
        return str(model).startswith(("lax-", "odd-"))

    def json_reply(self, entry, value, usage=None, headers=()):
        entry.usage = usage
        # Indented on purpose: a relay that re-serialises shows.
        return Reply(200, [("Content-Type", "application/json")] + self.id_headers(entry)
                     + list(headers), dump(value, pretty=True))

    def error_reply(self, status, message, broken=None, headers=()):
        body = dump(self.error(status, message, broken or Broken(message)))
        return Reply(status, [("Content-Type", "application/json")] + list(headers), body)

    def id_headers(self, entry):
        return [("x-request-id", entry.request_id)]

    # -- one exchange ----------------------------------------------------
    async def exchange(self, request, channel):
        if request.path.startswith(CONTROL):
            await channel.reply(self.control(request))
            return True
        entry = self.journal.open(self.label, request)
        entry.request_id = self.new_id("req_")
        try:
            self.check_credential(request)
            reply = self.handle(request, entry)
        except Broken as broken:
            reply = self.error_reply(broken.status, broken.message, broken)
            reply.headers += self.id_headers(entry)
        reply.headers = list(reply.headers) + FORGED
        entry.status = reply.status
        entry.reply = reply.payload or b""
        fault = self.plan.take(request) or faults.from_model(entry.model)
        try:
            if fault is not None and reply.status == 200:
                entry.fault = fault.name
                entry.outcome = "fault"
                return await faults.play(fault, self, entry, channel, reply)
            await self.write(request, channel, reply)
            entry.outcome = "sent"
        except OSError:
            entry.outcome = "client gone"
            return False
        return (request.header("connection") or "").lower() != "close"

    async def write(self, request, channel, reply):
        """Write while watching for the peer's departure between events."""
        task = asyncio.ensure_future(channel.reply(reply, request.method == "HEAD"))
        while not task.done():
            await asyncio.wait([task], timeout=0.05)
            if not task.done() and channel.reader.at_eof():
                task.cancel()
                raise ConnectionError("peer left")
        task.result()

    def check_credential(self, request):
        sent = self.credentials(request)
        if not sent:
            raise Broken(self.missing_key(), None, "invalid_api_key", 401)
        if any(key != self.key for _, key in sent) or len(sent) > 1:
            raise Broken(self.wrong_key(), None, "invalid_api_key", 401)

    # -- control endpoint -------------------------------------------------
    def control(self, request):
        what = request.path[len(CONTROL):]
        if what == "journal" and request.method == "GET":
            value = {"data": [entry.as_dict() for entry in self.journal.entries()]}
        elif what == "reset" and request.method == "POST":
            self.journal.reset()
            self.plan.clear()
            value = {"ok": True}
        elif what == "fault" and request.method == "POST":
            try:
                value = self.plan.add(**json.loads(request.body))
            except (TypeError, ValueError) as err:
                return Reply(400, [("Content-Type", "text/plain")], ("%s\n" % err).encode())
        else:
            return Reply(404, [("Content-Type", "text/plain")],
                         b"GET journal, POST reset, POST fault {name, arg, times, path}\n")
        return Reply(200, [("Content-Type", "application/json")], dump(value))
