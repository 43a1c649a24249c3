"""The provider's side of the books, and the search for leaks.

Every request that arrived is one entry, in order, never changed but by the
exchange that wrote it. `usage` is what the reply reported in the provider's
own words, so it is the bill. A request that carries anything of a gateway's
own contract is recorded as a leak; tests fail on leaks at teardown.
"""
import base64
import json
import re
import threading

FORBIDDEN_HEADERS = re.compile(
    r"^(x-gateway-|x-nexus-|x-ingate-|x-stolabs-|x-astrolabe-|x-provider-authorization$"
    r"|cookie$|proxy-|connection-|x-sluice-)", re.I)
# Keys of every contract, and what opens the admin room.
FORBIDDEN_VALUES = re.compile(
    rb"gw_virt_|nvk_[0-9a-f]{16}|astrolabe_live_|sk-ingate-|key-[0-9a-f]{56}|test-master-key", re.I)
FORBIDDEN_MEMBERS = ("nexus", "stoPayload", "astrolabe")


def find_leaks(request):
    leaks = []
    for name, _ in request.headers:
        if FORBIDDEN_HEADERS.match(name):
            leaks.append("header %s" % name)
    for where, data in (("head", request.raw_head), ("body", request.body)):
        found = FORBIDDEN_VALUES.search(data)
        if found:
            leaks.append("%s contains %s" % (where, found.group(0).decode("latin-1")))
    try:
        body = json.loads(request.body)
    except ValueError:
        return leaks
    if isinstance(body, dict):
        leaks += ["body member %s" % name for name in FORBIDDEN_MEMBERS if name in body]
        metadata = body.get("metadata")
        if isinstance(metadata, dict) and "astrolabe" in metadata:
            leaks.append("body member metadata.astrolabe")
    return leaks


class Entry:
    def __init__(self, index, provider, request):
        self.index = index
        self.provider = provider
        self.method = request.method
        self.target = request.target
        self.headers = request.headers
        self.body = request.body
        self.leaks = find_leaks(request)
        self.request_id = None
        self.model = None
        self.stream = False
        self.status = None
        self.usage = None       # as reported, None when the reply had none
        self.fault = None
        self.reply = b""        # body bytes meant for the wire, before framing
        self.outcome = "open"   # open | sent | client gone | fault

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    def json(self):
        return json.loads(self.body)

    def as_dict(self):
        return {
            "index": self.index, "provider": self.provider, "method": self.method,
            "target": self.target, "headers": self.headers,
            "body_base64": base64.b64encode(self.body).decode(),
            "request_id": self.request_id, "model": self.model, "stream": self.stream,
            "status": self.status, "usage": self.usage, "fault": self.fault,
            "outcome": self.outcome, "leaks": self.leaks,
        }


class Journal:
    """shared: the emulator's thread appends, tests read."""

    def __init__(self):
        self._lock = threading.Lock()
        self._entries = []
        self._leaks = []

    def open(self, provider, request):
        with self._lock:
            entry = Entry(len(self._entries), provider, request)
            self._entries.append(entry)
            self._leaks += ["%s %s: %s" % (provider, request.target, leak)
                            for leak in entry.leaks]
            return entry

    def entries(self):
        with self._lock:
            return list(self._entries)

    def reset(self):
        """Forgets the requests, not what leaked in them."""
        with self._lock:
            self._entries = []

    def last(self):
        return self.entries()[-1]

    def leaks(self):
        """Of all requests since the last call."""
        with self._lock:
            leaks, self._leaks = self._leaks, []
            return leaks
