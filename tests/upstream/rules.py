"""Checks on request members, and directives that a test puts into a prompt.

A rule is a function (value, where) that raises Broken. The emulators turn
Broken into their provider's own error body.

A prompt may carry directives, so that a test can order an answer through any
API shape: "@in=1000 @out=50 @cached=800" fixes the reported usage,
"@words=200" the length of the answer, "@pause=0.05" the seconds between
events, "@first=0.5" the seconds before the first event, "@turns=3 @calls=2"
a conversation with tools (script.py), "@think=1" that a model thinks aloud
which is not asked to in its requests.
"""
import re

DIRECTIVE = re.compile(r"@(in|out|cached|write|reasoning|words|pause|first|turns|calls|think)=([0-9.]+)")


class Broken(Exception):
    def __init__(self, message, param=None, code=None, status=400):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


def kind(value):
    names = {dict: "object", list: "array", str: "string", bool: "boolean",
             int: "integer", float: "decimal", type(None): "null"}
    return names[type(value)]


def expect(condition, message, where, code=None):
    if not condition:
        raise Broken(message, where, code)


def typed(*types):
    names = " or ".join({dict: "an object", list: "an array", str: "a string", bool: "a boolean",
                         int: "an integer", float: "a decimal",
                         type(None): "null"}[t] for t in types)

    def rule(value, where):
        if type(value) in types or (type(value) is int and float in types):
            return
        raise Broken("Invalid type for '%s': expected %s, but got %s instead."
                     % (where, names, kind(value)), where, "invalid_type")
    return rule


def number(low, high, integer=False):
    def rule(value, where):
        typed(int)(value, where) if integer else typed(float)(value, where)
        if not low <= value <= high:
            raise Broken("Invalid '%s': must be between %s and %s, got %s."
                         % (where, low, high, value), where, "invalid_value")
    return rule


def one_of(*choices):
    def rule(value, where):
        if value not in choices:
            raise Broken("Invalid value: '%s'. Supported values are: %s."
                         % (value, ", ".join("'%s'" % c for c in choices)), where, "invalid_value")
    return rule


def nullable(inner):
    def rule(value, where):
        if value is not None:
            inner(value, where)
    return rule


def check_members(obj, rules, required=(), where="", unknown=None):
    """`unknown(path)` makes the error for a member without a rule; None lets it pass."""
    prefix = where + "." if where else ""
    for name in required:
        if name not in obj:
            raise Broken("Missing required parameter: '%s%s'." % (prefix, name),
                         prefix + name, "missing_required_parameter")
    for name, value in obj.items():
        if name in rules:
            if rules[name] is not None:
                rules[name](value, prefix + name)
        elif unknown is not None:
            raise unknown(prefix + name)


class Directives:
    def __init__(self, text):
        self.values = dict(DIRECTIVE.findall(text))
        self.text = DIRECTIVE.sub("", text).strip()

    def number(self, name, default):
        return int(float(self.values.get(name, default)))

    def seconds(self, name):
        return float(self.values.get(name, 0))


def word_count(text):
    return len(text.split())


def answer_words(directives):
    """The answer, cut as it will be streamed; joined it is the whole text."""
    count = directives.number("words", 0)
    if count:
        return ["w%d " % i for i in range(count)]
    said = directives.text.split() or ["nothing"]
    words = ["You ", "said: "] + [word + " " for word in said]
    words[-1] = words[-1].rstrip()
    return words[:-1] + [words[-1] + " \u2713"]
