"""OpenAI Responses: the grammar of its events and of a response.

    created -> in_progress? -> ITEM* -> completed | incomplete | failed
    ITEM: output_item.added -> (PART | deltas)* -> output_item.done

Every event carries the next sequence number. Items are opened in the order of
their output_index and closed before the terminal event; whatever was streamed
is repeated whole by a .done event, by the item and by the terminal event.
"""
from .common import (Answer, Call, count_in, end_of_calls, frames_of, members, parse, text_in,
                     want)

RESPONSE = ("id object created_at status error incomplete_details instructions model output "
            "parallel_tool_calls metadata tool_choice tools temperature top_p")
ERROR_CODES = """server_error rate_limit_exceeded invalid_prompt vector_store_timeout invalid_image
    invalid_image_format invalid_base64_image invalid_image_url image_too_large image_too_small
    image_parse_error image_content_policy_violation invalid_image_mode image_file_too_large
    unsupported_image_media_type empty_image_file failed_to_download_image image_file_not_found
    bio_policy data_residency_mismatch""".split()
ITEMS = {"message": "id role status content", "function_call": "id call_id name arguments status",
         "custom_tool_call": "id call_id name input", "reasoning": "id summary"}
PARTS = {"output_text": "text annotations logprobs", "refusal": "refusal",
         "reasoning_text": "text", "summary_text": "text"}
SPOKEN = {"output_text": "text", "refusal": "refusal", "reasoning_text": "reasoning",
          "summary_text": "reasoning"}
# delta event -> (kind of its part, member of the done event)
PART_DELTAS = {"response.output_text": ("output_text", "text"),
               "response.refusal": ("refusal", "refusal"),
               "response.reasoning_text": ("reasoning_text", "text"),
               "response.reasoning_summary_text": ("summary_text", "text")}
CALL_DELTAS = {"response.function_call_arguments": ("function_call", "arguments"),
               "response.custom_tool_call_input": ("custom_tool_call", "input")}


def response_usage(usage):
    spent = [count_in(usage, n, "usage") for n in ("input_tokens", "output_tokens")]
    want(count_in(usage, "total_tokens", "usage") == sum(spent), "usage does not add up: %s", usage)
    members(usage, "input_tokens_details output_tokens_details", "usage")
    cached = count_in(usage["input_tokens_details"], "cached_tokens", "details")
    count_in(usage["input_tokens_details"], "cache_write_tokens", "details")
    thought = count_in(usage["output_tokens_details"], "reasoning_tokens", "details")
    want(cached <= spent[0] and thought <= spent[1], "usage details exceed: %s", usage)
    return usage


def check_response(response, statuses):
    members(response, RESPONSE, "response")
    want(response["object"] == "response", "object %r", response["object"])
    want(response["status"] in statuses, "status %r, not %s", response["status"], statuses)
    text_in(response, "id", "response", empty=False)
    text_in(response, "model", "response", empty=False)
    count_in(response, "created_at", "response")
    failed = response["status"] == "failed"
    want((response["error"] is not None) == failed, "error of a %s response: %r",
         response["status"], response["error"])
    if failed:
        want(response["error"].get("code") in ERROR_CODES, "error code %r", response["error"])
        text_in(response["error"], "message", "error", empty=False)
    cut = response["status"] == "incomplete"
    want((response["incomplete_details"] is not None) == cut, "incomplete_details: %r",
         response["incomplete_details"])
    if cut:
        want(response["incomplete_details"].get("reason") in (
            "max_output_tokens", "content_filter"), "%r", response["incomplete_details"])


def check_item(item, final=True):
    want(item.get("type") in ITEMS, "item type %r", item.get("type"))
    members(item, ITEMS[item["type"]], "item")
    text_in(item, "id", "item", empty=False)
    if item["type"] == "message":
        want(item["role"] == "assistant", "role %r", item["role"])
    if "call" in item["type"]:
        want(item["id"] != item["call_id"] and item["call_id"], "id and call_id: %r", item)
    for part in (item.get("content") or []) + (item.get("summary") or []):
        want(part.get("type") in PARTS, "part type %r", part.get("type"))
        members(part, PARTS[part["type"]], "part")
    if final and "status" in item:
        want(item["status"] in ("completed", "incomplete"), "a done item is %r", item["status"])


def fold_item(answer, item):
    if "call" in item["type"]:
        custom = item["type"] == "custom_tool_call"
        answer.began("tool")
        answer.calls.append(Call(item["call_id"], item["name"],
                                 item["input" if custom else "arguments"], custom))
        return
    if item.get("encrypted_content"):
        answer.began("reasoning")
        answer.signatures.append(item["encrypted_content"])
    for part in (item.get("summary") or []) + (item.get("content") or []):
        field = SPOKEN[part["type"]]
        answer.began(field)
        said = part.get("text", part.get("refusal"))
        setattr(answer, field, getattr(answer, field) + said)
        answer.citations += part.get("annotations") or []


def fold_response(response):
    answer = Answer()
    for item in response["output"]:
        check_item(item)
        fold_item(answer, item)
    want(len({i["id"] for i in response["output"]}) == len(response["output"]),
         "two items with one id")
    answer.id, answer.model, answer.finish = response["id"], response["model"], response["status"]
    answer.error = response["error"]
    cut = response["status"] in ("incomplete", "failed")
    if cut and response["incomplete_details"]:
        answer.finish = response["incomplete_details"]["reason"]
    end_of_calls(answer.calls, bool(answer.calls), cut, response["status"])
    if response["status"] != "failed" or response.get("usage") is not None:
        answer.usage = response_usage(response.get("usage"))
    return answer


def responses_reply(value):
    check_response(value, ("completed", "incomplete", "failed"))
    return fold_response(value)


class Item:
    def __init__(self, item):
        self.added = item
        self.id = item["id"]
        self.parts = {}        # (kind of list, index) -> [part type, text, state]
        self.spoken = ""       # of a call
        self.spoken_done = None
        self.done = None


class ResponsesStream:
    def __init__(self):
        self.sequence = 0
        self.state = "start"   # -> open -> end
        self.items = []
        self.first = self.final = self.error = None

    def take(self, event, value):
        want(event == value.get("type"), "event %s with data of type %s", event,
             value.get("type"))
        want(self.state != "end", "%s after the end", event)
        want(value.get("sequence_number") == self.sequence, "sequence_number %r, not %d",
             value.get("sequence_number"), self.sequence)
        self.sequence += 1
        if event in ("response.created", "response.in_progress", "response.queued"):
            return self.lifecycle(event, value)
        if event == "error":
            members(value, "code message param", "error")
            text_in(value, "message", "error", empty=False)
            self.error = value
            return None
        want(self.state == "open", "%s before response.created", event)
        if event in ("response.completed", "response.incomplete", "response.failed"):
            return self.terminal(event[len("response."):], value["response"])
        want(self.error is None, "%s after an error", event)
        if event == "keepalive":
            return None
        return self.of_item(event, value)

    def lifecycle(self, event, value):
        first = event == "response.created"
        want(first == (self.state == "start"), "%s in state %s", event, self.state)
        want(not self.items, "%s after an item", event)
        response = value["response"]
        check_response(response, ("in_progress", "queued"))
        want(response["output"] == [], "%s has output", event)
        if first:
            self.first, self.state = response, "open"
        self.same(response)

    def same(self, response):
        for name in ("id", "created_at", "model"):
            want(response[name] == self.first[name], "%s changes: %r, %r", name, self.first[name],
                 response[name])

    def of_item(self, event, value):
        index = value.get("output_index")
        want(type(index) is int, "%s without output_index", event)
        if event == "response.output_item.added":
            return self.item_added(index, value["item"])
        want(0 <= index < len(self.items), "%s for item %r of %d", event, index, len(self.items))
        item = self.items[index]
        want(item.done is None, "%s after the item is done", event)
        if event == "response.output_item.done":
            return self.item_done(item, value["item"])
        want(value.get("item_id") == item.id, "%s: item_id %r, not %r", event,
             value.get("item_id"), item.id)
        if event in ("response.content_part.added", "response.content_part.done",
                     "response.reasoning_summary_part.added",
                     "response.reasoning_summary_part.done"):
            return self.part(event, value, item)
        stem, _, kind = event.rpartition(".")
        if event == "response.output_text.annotation.added":
            return self.annotation(value, item)
        want(kind in ("delta", "done") and stem in (*PART_DELTAS, *CALL_DELTAS),
             "unknown event %s", event)
        return (self.call_text if stem in CALL_DELTAS else self.part_text)(stem, kind, value, item)

    def item_added(self, index, item):
        want(index == len(self.items), "output_index %d, not %d", index, len(self.items))
        check_item(item, final=False)
        want(item.get("status", "in_progress") == "in_progress", "an added item is %r",
             item.get("status"))
        want(not item.get("content") and not item.get("summary") and not item.get("arguments")
             and not item.get("input"), "an added item is not empty: %r", item)
        want(item["id"] not in [other.id for other in self.items], "item id twice: %r", item["id"])
        self.items.append(Item(item))

    @staticmethod
    def spot(event, value):
        summary = "summary" in event
        index = value.get("summary_index" if summary else "content_index")
        want(type(index) is int, "%s without its index", event)
        return ("summary" if summary else "content", index)

    def part(self, event, value, item):
        spot, part = self.spot(event, value), value["part"]
        want(part.get("type") in PARTS, "part type %r", part.get("type"))
        members(part, PARTS[part["type"]], "part")
        said = part.get("text", part.get("refusal"))
        if event.endswith(".added"):
            siblings = [s for s in item.parts if s[0] == spot[0]]
            want(spot[1] == len(siblings), "part index %d, not %d", spot[1], len(siblings))
            want(said == "", "a part does not begin empty")
            item.parts[spot] = [part["type"], "", "open", 0]
            return
        known = item.parts.get(spot)
        want(known and known[2] == "text done" and known[0] == part["type"],
             "%s for %s", event, known)
        want(said == known[1], "the part says %r, its deltas %r", said, known[1])
        want(len(part.get("annotations") or []) == known[3], "%d annotations came, %r stand",
             known[3], part.get("annotations"))
        known[2] = "done"

    def part_text(self, stem, kind, value, item):
        part_type, member = PART_DELTAS[stem]
        known = item.parts.get(self.spot(stem, value))
        want(known and known[0] == part_type and known[2] == "open", "%s.%s for part %s", stem,
             kind, known)
        if part_type == "output_text":
            want(isinstance(value.get("logprobs"), list), "%s without logprobs", stem)
        if kind == "delta":
            known[1] += text_in(value, "delta", stem, empty=False)
            return
        want(text_in(value, member, stem) == known[1], "%s says %r, its deltas %r", stem,
             value[member], known[1])
        known[2] = "text done"

    def annotation(self, value, item):
        known = item.parts.get(self.spot("content", value))
        want(known and known[2] == "open", "an annotation for part %s", known)
        want(value.get("annotation_index") == known[3], "annotation_index %r",
             value.get("annotation_index"))
        known[3] += 1

    def call_text(self, stem, kind, value, item):
        item_type, member = CALL_DELTAS[stem]
        want(item.added["type"] == item_type and item.spoken_done is None, "%s.%s", stem, kind)
        if kind == "delta":
            item.spoken += text_in(value, "delta", stem, empty=False)
            return
        want(text_in(value, member, stem) == item.spoken or not item.spoken,
             "%s says %r, its deltas %r", stem, value[member], item.spoken)
        if item_type == "function_call":
            want(value.get("name", item.added["name"]) == item.added["name"], "the name changes")
        item.spoken = item.spoken_done = value[member]

    def item_done(self, item, value):
        check_item(value)
        for name in ("id", "type", "call_id", "name"):
            want(value.get(name) == item.added.get(name), "item.%s changes", name)
        want(all(p[2] == "done" for p in item.parts.values()), "an open part: %s", item.parts)
        if "call" in value["type"]:
            said = value.get("arguments", value.get("input"))
            want(item.spoken_done is not None, "a call without its .done event")
            want(said == item.spoken, "the item says %r, its deltas %r", said, item.spoken)
        else:
            for kind in ("content", "summary"):
                said = [p.get("text", p.get("refusal")) for p in value.get(kind) or []]
                streamed = [p[1] for s, p in sorted(item.parts.items()) if s[0] == kind]
                want(said == streamed, "item.%s says %r, its parts %r", kind, said, streamed)
        item.done = value

    def terminal(self, status, response):
        check_response(response, (status,))
        self.same(response)
        want(self.error is None or status == "failed", "%s after an error", status)
        done = [item.done for item in self.items]
        if status == "failed":
            want(response["output"] == [i for i in done if i is not None]
                 or response["output"] == [], "the failed response lists what never came")
        else:
            want(None not in done, "%s with an open item", status)
            want(response["output"] == done, "output is not what was streamed:\n%s\n%s",
                 response["output"], done)
        self.final, self.state = response, "end"


def responses_stream(body):
    stream = ResponsesStream()
    frames = frames_of(body)
    for event, data in frames:
        want(event, "an event without a name: %.80r", data)
        stream.take(event, parse(data))
    if stream.state == "open" and stream.error:
        answer = Answer()          # providers may leave it at that
        answer.error = stream.error
        return answer
    want(stream.state == "end", "the stream ends in state %s", stream.state)
    return fold_response(stream.final)
