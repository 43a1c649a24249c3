"""Gemini generateContent: every chunk is a whole response that goes on.

The service names its members strictly and so do we. There is no terminal
event: the last chunk of a candidate has its finishReason.
"""
import json

from .common import NAME, Answer, Call, count_in, frames_of, members, parse, text_in, want

CHUNK = set("candidates promptFeedback usageMetadata modelVersion responseId createTime "
            "modelStatus".split())
CANDIDATE = set("""content finishReason finishMessage index safetyRatings citationMetadata
    tokenCount groundingAttributions groundingMetadata avgLogprobs logprobsResult
    urlContextMetadata urlRetrievalMetadata""".split())
DATA = set("""text inlineData fileData functionCall functionResponse executableCode
    codeExecutionResult""".split())
PART = DATA | set("thought thoughtSignature videoMetadata partMetadata mediaResolution".split())
FINISH = set("""STOP MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII
    MALFORMED_FUNCTION_CALL IMAGE_SAFETY UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS
    IMAGE_PROHIBITED_CONTENT IMAGE_OTHER NO_IMAGE IMAGE_RECITATION""".split())
ERROR_STATUS = set("""INVALID_ARGUMENT FAILED_PRECONDITION UNAUTHENTICATED PERMISSION_DENIED
    NOT_FOUND RESOURCE_EXHAUSTED CANCELLED INTERNAL UNAVAILABLE DEADLINE_EXCEEDED ABORTED
    UNIMPLEMENTED OUT_OF_RANGE ALREADY_EXISTS UNKNOWN DATA_LOSS""".split())


def known(value, names, where):
    want(isinstance(value, dict), "%s is no object: %.80r", where, value)
    want(set(value) <= names, "%s has unknown members: %s", where, sorted(set(value) - names))


def gemini_error(error):
    members(error, "code message status", "error")
    want(type(error["code"]) is int and 400 <= error["code"] < 600, "code %r", error["code"])
    want(error["status"] in ERROR_STATUS, "status %r", error["status"])
    text_in(error, "message", "error", empty=False)
    return error


def gemini_usage(usage):
    sent = count_in(usage, "promptTokenCount", "usage")
    total = count_in(usage, "totalTokenCount", "usage")
    parts = sum(usage.get(n, 0) for n in ("candidatesTokenCount", "thoughtsTokenCount",
                                          "toolUsePromptTokenCount"))
    want(total == sent + parts, "usage does not add up: %s", usage)
    want(usage.get("cachedContentTokenCount", 0) <= sent, "more cached than sent: %s", usage)
    return usage


def gemini_part(answer, part):
    known(part, PART, "part")
    data = DATA & set(part)
    want(len(data) == 1 or (not data and "thoughtSignature" in part),
         "a part with %d kinds of data: %r", len(data), part)
    if "thoughtSignature" in part:
        answer.signatures.append(text_in(part, "thoughtSignature", "part", empty=False))
    if "text" in part:
        field = "reasoning" if part.get("thought") else "text"
        if part["text"]:
            answer.began(field)
        setattr(answer, field, getattr(answer, field) + text_in(part, "text", "part"))
    elif "functionCall" in part:
        call = part["functionCall"]
        known(call, {"id", "name", "args"}, "functionCall")
        want(isinstance(call.get("args", {}), dict), "functionCall.args is no object")
        answer.began("tool")
        answer.calls.append(Call(call.get("id"), text_in(call, "name", "functionCall"),
                                 json.dumps(call.get("args", {}))))
        want(NAME.match(call["name"]), "call name %r", call["name"])
    elif "inlineData" in part:
        answer.began("image")
        answer.images.append((part["inlineData"]["mimeType"], part["inlineData"]["data"]))


def gemini_chunks(chunks, streamed):
    want(chunks, "no chunk at all")
    answer, finished, identity, blocked = Answer(), {}, None, False
    for number, chunk in enumerate(chunks):
        want(answer.error is None, "something after the error")
        if "error" in chunk:
            want(streamed and set(chunk) == {"error"}, "error beside other members: %r", chunk)
            answer.error = gemini_error(chunk["error"])
            continue
        known(chunk, CHUNK, "chunk")
        members(chunk, "responseId modelVersion", "chunk")
        now = (chunk["responseId"], chunk["modelVersion"])
        want(all(now) and identity in (None, now), "responseId or modelVersion: %s, %s", identity,
             now)
        identity = now
        if "usageMetadata" in chunk:
            answer.usage = gemini_usage(chunk["usageMetadata"])
        blocked = blocked or "blockReason" in (chunk.get("promptFeedback") or {})
        want(chunk.get("candidates") != [], "candidates is empty")
        for candidate in chunk.get("candidates") or []:
            gemini_candidate(answer, candidate, finished, number)
    if answer.error is None:
        want(finished or blocked, "no candidate finished")
        want(answer.usage is not None, "no usageMetadata")
        want(all(finished.values()) or blocked, "a candidate never finishes")
    answer.finish = finished.get(0) or ("SAFETY" if blocked else None)
    answer.choices = len(finished)
    answer.id, answer.model = identity or (None, None)
    return answer


def gemini_candidate(answer, candidate, finished, number):
    known(candidate, CANDIDATE, "candidate")
    index = candidate.get("index", 0)
    want(0 <= index <= len(finished), "candidate index %r", index)
    want(not finished.get(index), "chunk %d: candidate %d goes on after its finish", number, index)
    finished.setdefault(index, None)
    content = candidate.get("content")
    if content is not None:
        known(content, {"parts", "role"}, "content")
        want(content.get("role") == "model", "role %r", content.get("role"))
        for part in content.get("parts") or []:
            gemini_part(answer if index == 0 else Answer(), part)
    if "finishReason" in candidate:
        want(candidate["finishReason"] in FINISH, "finishReason %r", candidate["finishReason"])
        finished[index] = candidate["finishReason"]
    answer.citations += (candidate.get("citationMetadata") or {}).get("citationSources") or []


def gemini_stream(body, array=False):
    if array:
        chunks = parse(body.decode("utf-8"))
        want(isinstance(chunks, list), "no JSON array: %.80r", body)
        return gemini_chunks(chunks, True)
    frames = frames_of(body)
    want(all(event is None for event, _ in frames), "a Gemini chunk with an event name")
    return gemini_chunks([parse(data) for _, data in frames], True)


def gemini_reply(value):
    return gemini_chunks([value], False)
