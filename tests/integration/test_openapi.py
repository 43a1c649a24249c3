"""The judge from OpenAI's document: right replies pass, wrong ones do not."""
import copy

import pytest

from tests.integration import openapi
from tests.integration.grammar import Wrong
from tests.integration.test_grammar import CHAT, RESPONSES, stream

pytestmark = pytest.mark.skipif(openapi.absent() is not None, reason=str(openapi.absent()))


def test_right():
    openapi.judge_stream("responses", stream("responses", RESPONSES))
    openapi.judge_stream("chat", stream("chat", CHAT))
    openapi.judge_reply("responses", RESPONSES[-1]["response"])


@pytest.mark.parametrize("index,path", [
    (0, ("response", "tools")), (3, ("summary_index",)), (9, ("part", "annotations")),
    (10, ("logprobs",)), (10, ("sequence_number",)), (17, ("arguments",)),
    (19, ("response", "usage", "output_tokens_details")),
])
def test_a_missing_member_is_seen(index, path):
    events = copy.deepcopy(RESPONSES)
    spot = events[index]
    for step in path[:-1]:
        spot = spot[step]
    del spot[path[-1]]
    with pytest.raises(Wrong):
        openapi.judge_stream("responses", stream("responses", events))


def test_wrong_chat():
    events = copy.deepcopy(CHAT)
    events[7]["choices"][0]["finish_reason"] = "end_turn"
    with pytest.raises(Wrong):
        openapi.judge_stream("chat", stream("chat", events))
    with pytest.raises(Wrong):
        openapi.judge_reply("chat", {"id": "x"})
    with pytest.raises(Wrong):
        openapi.judge_reply("error", {"error": {"message": "m", "type": "t"}})


def test_requests():
    openapi.judge_request("chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
    with pytest.raises(Wrong):
        openapi.judge_request("chat", {"model": "m", "messages": [{"role": "use"}]})
