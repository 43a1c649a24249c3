"""A conversation with tools that a prompt orders: "@turns=3 @calls=2".

In each of that many turns the model thinks (if it was asked to), says a few
words and calls its tools that many times at once; then it answers with every
result that it was given, so that a test sees what was lost on the way. What
was said before is counted in the request: the emulators keep no state.

Reasoning carries a token that only its emulator can mint, as the services do
it, and a token of anybody else is refused.
"""
import base64
import hashlib
import hmac

BIG = 9007199254740993          # more than a double holds


def mint(issuer, text):
    seal = hmac.new(b"emulator", ("%s|%s" % (issuer, text)).encode(), hashlib.sha256)
    return base64.b64encode(seal.digest()).decode()


def minted(issuer, text, token):
    """In either alphabet of base64: SDKs rewrite what a schema calls bytes."""
    token = token.replace("-", "+").replace("_", "/") if isinstance(token, str) else ""
    return hmac.compare_digest(mint(issuer, text), token)


class Script:
    """What the model does next. `done`: turns with calls since the last words of
    the user, `results`: texts of the results of those turns."""

    def __init__(self, directives, tools, choice, done, results):
        self.turns = directives.number("turns", 1)
        self.ordered = "turns" in directives.values
        self.done, self.results = done, results
        wanted = tools
        if isinstance(choice, list):
            wanted = [name for name in tools if name in choice]
        self.calls = []
        if wanted and choice != "none" and done < self.turns:
            count = directives.number("calls", 1)
            self.calls = [(wanted[k % len(wanted)], self.arguments(k)) for k in range(count)]

    def arguments(self, k):
        if not self.ordered:
            return {"location": "Paris", "count": BIG}
        return {"location": "place %d.%d \u2713" % (self.done, k), "count": BIG + self.done}

    @property
    def thought(self):
        return "Let me think about turn %d." % self.done

    @property
    def remark(self):
        return "Looking it up, turn %d." % self.done if self.ordered else "Looking it up."

    def words(self, usual):
        """The answer's words; of an ordered conversation they are its results."""
        if self.ordered and self.done and not self.calls:
            return ["Results:"] + [" " + text for text in self.results]
        return usual
