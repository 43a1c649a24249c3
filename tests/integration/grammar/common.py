"""What the four grammars share: the answer they fold into and checks of members."""
import json
import re

NAME = re.compile(r"^[a-zA-Z0-9_.:/-]{1,256}$")


class Wrong(AssertionError):
    """The stream breaks its grammar."""


class Call:
    def __init__(self, ident, name, arguments="", custom=False):
        self.id, self.name, self.arguments, self.custom = ident, name, arguments, custom

    @property
    def value(self):
        return self.arguments if self.custom else json.loads(self.arguments)

    def __repr__(self):
        return "Call(%r, %r, %r)" % (self.id, self.name, self.arguments)


class Answer:
    """What a caller ends up with, whatever the API. The first choice counts."""

    def __init__(self):
        self.id = self.model = self.finish = self.usage = self.error = None
        self.text = self.reasoning = self.refusal = ""
        self.calls = []
        self.signatures = []     # of reasoning and, with Gemini, of any part
        self.images = []         # [(mime, base64)]
        self.citations = []
        self.choices = 1
        self.order = []          # kinds in order of their beginning: "text", "tool" ...

    def began(self, kind):
        if not self.order or self.order[-1] != kind or kind == "tool":
            self.order.append(kind)


def want(condition, message, *values):
    if not condition:
        raise Wrong(message % values if values else message)


def unique(pairs):
    value = dict(pairs)
    want(len(value) == len(pairs), "a member stands twice: %s", [name for name, _ in pairs])
    return value


def no_constant(text):
    raise Wrong("%s is no JSON" % text)


def parse(text):
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except ValueError as err:
        raise Wrong("no JSON: %s: %.120r" % (err, text))


def members(value, needed, where):
    want(isinstance(value, dict), "%s is no object: %.80r", where, value)
    missing = [name for name in needed.split() if name not in value]
    want(not missing, "%s lacks %s: %.200r", where, ", ".join(missing), value)


def text_in(value, name, where, empty=True):
    want(isinstance(value.get(name), str), "%s.%s is no string: %.120r", where, name, value)
    want(empty or value[name], "%s.%s is empty", where, name)
    return value[name]


def count_in(value, name, where):
    want(isinstance(value, dict), "%s is no object: %r", where, value)
    number = value.get(name)
    want(type(number) is int and number >= 0, "%s.%s is no count: %r", where, name, number)
    return number


def json_object(text, where):
    value = parse(text)
    want(isinstance(value, dict), "%s is no object: %.80r", where, text)


def frames_of(body):
    """[(event name or None, data)]; only what a tidy server writes."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise Wrong("not UTF-8: %s" % err)
    want("\0" not in text, "a NUL byte in the stream")
    lines = text.replace("\r\n", "\n").split("\n")
    want(lines[-1] == "", "the last line is cut: %.80r", lines[-1])
    frames, event, data = [], None, None
    for line in lines[:-1]:
        if not line:
            want(event is None or data is not None, "event %s without data", event)
            if data is not None:
                frames.append((event, data))
            event = data = None
        elif line.startswith("event: "):
            want(event is None and data is None, "a second event field, or one after data")
            event = line[len("event: "):]
        elif line.startswith("data: "):
            want(data is None, "data in several lines")
            data = line[len("data: "):]
        else:
            want(line.startswith(":"), "a line that is no field: %.80r", line)
    want(event is None and data is None, "the last frame has no blank line")
    return frames


def end_of_calls(calls, says_calls, cut, reason):
    want(len({call.id for call in calls}) == len(calls), "two calls with one id: %s", calls)
    if not cut:
        want(bool(calls) == says_calls, "%d calls, but it stops with %s", len(calls), reason)
    for call in calls:
        want(NAME.match(call.name), "call name %r", call.name)
        if not call.custom and not cut:
            json_object(call.arguments, "arguments of " + call.name)
