"""What a legal stream or reply of each caller's API is, stricter than the SDKs.

The official SDKs let much pass: an index gap loses text silently, a stream
that ends early gives half an answer, sequence numbers are not looked at. Here
one automaton for each of the five APIs refuses whatever its contract does not
allow, and folds what came into one `Answer`, so that a stream can be compared
with a whole reply and one API with another.

    answer = check_stream("responses", body)      # bytes as they were received
    answer = check_reply("messages", value)       # the parsed JSON

Both raise Wrong. A stream that ends with its API's own error is legal; its
answer has `error` set.
"""
from . import common
from .chat import chat_reply, chat_stream
from .common import Answer, Call, Wrong
from .converse import converse_reply, converse_stream
from .gemini import gemini_reply, gemini_stream
from .messages import messages_reply, messages_stream
from .responses import responses_reply, responses_stream

STREAMS = {"chat": chat_stream, "responses": responses_stream, "messages": messages_stream,
           "gemini": gemini_stream, "converse": converse_stream}
REPLIES = {"chat": chat_reply, "responses": responses_reply, "messages": messages_reply,
           "gemini": gemini_reply, "converse": converse_reply}

__all__ = ["common", "Answer", "Call", "Wrong", "check_reply", "check_stream"]


def check_stream(grammar, body, **options):
    """`usage` (chat): whether the usage chunk must or must not be there; `array`
    (gemini): a JSON array instead of server-sent events."""
    return STREAMS[grammar](body, **options)


def check_reply(grammar, value):
    return REPLIES[grammar](value)
