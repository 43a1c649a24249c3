/* flow_test.c - whatever the order of what a decoder says, events come in the
 * order I1-I9 (shapes/flow.h); seals open only where they were made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shapes/codec.h"

static struct sl_arena arena;
static struct sl_buf told;
static struct sl_flow flow;
static const struct sl_sealer sealer = { "0123456789abcdef0123456789abcde" };

static void
on_event(void *context, const struct sl_event *event)
{
	static const char *const kinds[] = { "text", "refusal", "reasoning", "call" };

	(void)context;
	switch (event->kind) {
	case SL_EVENT_START:
		sl_buf_append_str(&told, "start");
		break;
	case SL_EVENT_OPEN:
		sl_buf_printf(&told, " open%d.%d=%s", event->choice, event->block,
		              kinds[event->block_kind]);
		if (event->block_kind == SL_PART_TOOL_CALL)
			sl_buf_printf(&told, "(%.*s,%.*s)", SL_ARG(event->id.raw),
			              SL_ARG(event->name.raw));
		break;
	case SL_EVENT_DELTA:
		sl_buf_printf(&told, " %d.%d:", event->choice, event->block);
		sl_text_append(&told, event->text);
		break;
	case SL_EVENT_SIGNATURE:
		sl_buf_printf(&told, " signed:%.*s",
		              sl_seal_is_marked(event->signature) ? 8 : (int)event->signature.len,
		              event->signature.ptr);
		break;
	case SL_EVENT_CLOSE:
		sl_buf_printf(&told, " close%d.%d", event->choice, event->block);
		break;
	case SL_EVENT_STOP:
		sl_buf_printf(&told, " stop%d=%s", event->choice,
		              event->stop == SL_STOP_END          ? "end"
		              : event->stop == SL_STOP_MAX_TOKENS ? "max_tokens"
		              : event->stop == SL_STOP_TOOL_CALLS ? "tool_calls"
		                                                  : "other");
		break;
	case SL_EVENT_ERROR:
		sl_buf_printf(&told, " error=%s", sl_fault_name(event->fault->kind));
		break;
	case SL_EVENT_END:
		sl_buf_append_str(&told, " end");
		break;
	default:
		sl_buf_append_str(&told, " other");
		break;
	}
}

static void
begin(struct sl_flow_setup setup)
{
	setup.sink.on_event = on_event;
	setup.arena = &arena;
	setup.seed = 1;
	sl_flow_init(&flow, &setup);
}

static int
set_up(void **state)
{
	(void)state;
	sl_arena_init(&arena, 1024, 0);
	sl_buf_init(&told, 1 << 16);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_flow_release(&flow);
	sl_buf_release(&told);
	sl_arena_release(&arena);
	return 0;
}

static void
told_is(const char *expected)
{
	sl_buf_append_char(&told, '\0');
	assert_string_equal(told.ptr, expected);
}

static struct sl_text
text(const char *plain)
{
	return sl_text_plain(sl_slice_str(plain));
}

static void
call(int64_t key, const char *id, const char *name)
{
	const struct sl_flow_open open = { .key = key, .kind = SL_PART_TOOL_CALL,
		                           .id = text(id), .name = text(name) };

	sl_flow_open(&flow, &open);
}

static void
runs_of_text_become_blocks(void **state)
{
	(void)state;
	begin((struct sl_flow_setup){ 0 });
	sl_flow_run(&flow, 0, -1, SL_PART_REASONING, text("hm"));
	sl_flow_run(&flow, 0, -2, SL_PART_TEXT, text("a"));
	sl_flow_run(&flow, 0, -2, SL_PART_TEXT, text(""));
	sl_flow_run(&flow, 0, -2, SL_PART_TEXT, text("b"));
	sl_flow_stop(&flow, 0, SL_STOP_END, SL_TEXT_NONE);
	sl_flow_end(&flow);
	sl_flow_end(&flow);
	told_is("start open0.0=reasoning 0.0:hm close0.0 open0.1=text 0.1:a 0.1:b close0.1 "
	        "stop0=end end");
}

static void
interleaved_calls_are_put_in_order(void **state)
{
	(void)state;
	begin((struct sl_flow_setup){ 0 });
	call(0, "c0", "f");
	sl_flow_delta(&flow, 0, 0, text("{\"a\":"));
	call(1, "c1", "g");
	sl_flow_delta(&flow, 0, 1, text("{\"b\":"));
	sl_flow_delta(&flow, 0, 0, text("1}"));
	sl_flow_delta(&flow, 0, 1, text("2}"));
	sl_flow_stop(&flow, 0, SL_STOP_END, SL_TEXT_NONE);
	sl_flow_end(&flow);
	told_is("start open0.0=call(c0,f) 0.0:{\\\"a\\\": 0.0:1} close0.0 open0.1=call(c1,g) "
	        "0.1:{\\\"b\\\":2} close0.1 stop0=tool_calls end");
}

/* The escapes of the outer string, cut anywhere, do not hide where arguments end. */
static void
complete_arguments_do_not_hold_the_next_call(void **state)
{
	static const char inner[] = "{\\\"a\\\":\\\"}\\\\\\\"\\u007b\\\"}";

	(void)state;
	begin((struct sl_flow_setup){ 0 });
	call(0, "c0", "f");
	sl_flow_delta(&flow, 0, 0, (struct sl_text){ SL_SLICE("\"{\\\"a\\\":\\\"}\\\\\\\"\\u007b\\\"}\""),
	                                             true });
	call(1, "c1", "g");
	sl_flow_delta(&flow, 0, 1, text("{"));
	sl_buf_append_char(&told, '\0');
	assert_non_null(strstr(told.ptr, inner));
	assert_non_null(strstr(told.ptr, "close0.0 open0.1=call(c1,g) 0.1:{"));
}

static void
calls_wait_for_their_name_and_get_arguments(void **state)
{
	(void)state;
	begin((struct sl_flow_setup){ 0 });
	call(7, "", "");
	sl_flow_delta(&flow, 0, 7, text(""));
	sl_flow_call(&flow, 0, 7, text("id"), text("f"));
	sl_flow_close(&flow, 0, 7);
	sl_flow_stop(&flow, 0, SL_STOP_MAX_TOKENS, SL_TEXT_NONE);
	sl_flow_end(&flow);
	told_is("start open0.0=call(id,f) 0.0:{} close0.0 stop0=max_tokens end");
}

static void
no_stop_is_an_error(void **state)
{
	(void)state;
	begin((struct sl_flow_setup){ 0 });
	sl_flow_run(&flow, 0, 0, SL_PART_TEXT, text("a"));
	sl_flow_end(&flow);
	sl_flow_run(&flow, 0, 0, SL_PART_TEXT, text("b"));
	told_is("start open0.0=text 0.0:a error=UPSTREAM_CUT");
	assert_true(flow.failed);
}

static void
choices_are_told_apart(void **state)
{
	(void)state;
	begin((struct sl_flow_setup){ 0 });
	sl_flow_run(&flow, 1, 0, SL_PART_TEXT, text("x"));
	sl_flow_run(&flow, 0, 0, SL_PART_TEXT, text("a"));
	sl_flow_run(&flow, 1, 0, SL_PART_TEXT, text("y"));
	sl_flow_stop(&flow, 1, SL_STOP_END, SL_TEXT_NONE);
	sl_flow_stop(&flow, 0, SL_STOP_MAX_TOKENS, SL_TEXT_NONE);
	sl_flow_end(&flow);
	told_is("start open1.0=text 1.0:x open0.0=text 0.0:a 1.0:y close1.0 close0.0 "
	        "stop0=max_tokens stop1=end end");
}

static void
names_come_back_and_free_form_input_is_unwrapped(void **state)
{
	static const struct sl_tool_name items[] = {
		{ SL_SLICE_INIT("fs/read"), SL_SLICE_INIT("fs_read_1"), false },
		{ SL_SLICE_INIT("shell"), SL_SLICE_INIT("shell"), true },
	};
	static const struct sl_tool_names names = { items, 2 };

	(void)state;
	begin((struct sl_flow_setup){ .names = &names });
	call(0, "a", "fs_read_1");
	sl_flow_close(&flow, 0, 0);
	call(1, "b", "shell");
	sl_flow_delta(&flow, 0, 1, text("{\"input\":\"l"));
	sl_flow_delta(&flow, 0, 1, text("s\"}"));
	sl_flow_stop(&flow, 0, SL_STOP_TOOL_CALLS, SL_TEXT_NONE);
	sl_flow_end(&flow);
	told_is("start open0.0=call(a,fs/read) 0.0:{} close0.0 open0.1=call(b,shell) 0.1:ls "
	        "close0.1 stop0=tool_calls end");
}

static void
signatures_are_sealed(void **state)
{
	const struct sl_flow_open thought = { .kind = SL_PART_REASONING };
	const struct sl_sealed what = { SL_SEAL_SIGNATURE, SL_SLICE("gemini"), SL_SLICE("s1g") };
	struct sl_sealed out;
	struct sl_slice token, id;
	struct sl_sealer other = { "other" };

	(void)state;
	begin((struct sl_flow_setup){ .sealed = true, .sealer = &sealer,
	                              .issuer = SL_SLICE("anthropic") });
	sl_flow_open(&flow, &thought);
	sl_flow_signature(&flow, 0, 0, SL_SLICE("secret"));
	sl_flow_close(&flow, 0, 0);
	told_is("start open0.0=reasoning signed:sluicev1 close0.0");

	token = sl_seal(&sealer, &what, &arena);
	assert_int_equal(token.len % 4, 0);
	assert_true(sl_unseal(&sealer, token, &arena, &out));
	assert_true(sl_slice_is(out.issuer, "gemini") && sl_slice_is(out.payload, "s1g"));
	assert_false(sl_unseal(&other, token, &arena, &out));
	id = sl_arena_join(&arena, (struct sl_slice[]){ SL_SLICE("call_1__"), token }, 2);
	assert_true(sl_slice_is(sl_unseal_id(&sealer, id, &arena, &out), "call_1"));
	assert_int_equal(out.kind, SL_SEAL_SIGNATURE);
	((char *)(uintptr_t)token.ptr)[20] ^= 1;
	assert_false(sl_unseal(&sealer, token, &arena, &out));
	assert_true(sl_slice_is(sl_unseal_id(&other, id, &arena, &out), "call_1"));
	assert_int_equal(out.kind, 0);
}

static void
the_fold_makes_an_answer(void **state)
{
	struct sl_fold fold;
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };

	(void)state;
	sl_fold_init(&fold, &arena, false);
	begin((struct sl_flow_setup){ 0 });
	flow.setup.sink = (struct sl_flow_sink){ sl_fold_event, &fold };
	sl_flow_start(&flow, text("id1"), text("m"), 7);
	sl_flow_run(&flow, 0, 0, SL_PART_TEXT, (struct sl_text){ SL_SLICE("\"a\\n\""), true });
	sl_flow_run(&flow, 0, 0, SL_PART_TEXT, text("b\""));
	call(1, "c", "f");
	sl_flow_delta(&flow, 0, 1, (struct sl_text){ SL_SLICE("\"{\\\"x\\\":1}\""), true });
	sl_usage_set(&usage, SL_USAGE_INPUT, 5);
	sl_flow_usage(&flow, &usage);
	sl_flow_stop(&flow, 0, SL_STOP_END, SL_TEXT_NONE);
	sl_flow_end(&flow);
	assert_true(fold.done);
	assert_int_equal(fold.answer.choice_count, 1);
	assert_true(sl_slice_is(fold.answer.choices[0].parts->text.raw, "\"a\\nb\\\"\""));
	assert_true(sl_slice_is(fold.answer.choices[0].parts->next->args, "{\"x\":1}"));
	assert_int_equal(fold.answer.choices[0].stop, SL_STOP_TOOL_CALLS);
	assert_int_equal(sl_usage_get(&fold.answer.usage, SL_USAGE_INPUT), 5);
	sl_fold_release(&fold);
}

static void
errors_of_any_provider_are_read(void **state)
{
	static const struct {
		int                status;
		const char        *body;
		enum sl_fault_kind kind;
		const char        *message;
	} rows[] = {
		{ 400, "{\"error\":{\"message\":\"no\",\"type\":\"x\",\"code\":null}}",
		  SL_FAULT_BAD_REQUEST, "no" },
		{ 429, "[{\"error\":{\"code\":429,\"message\":\"slow\"}}]", SL_FAULT_RPM, "slow" },
		{ 422, "{\"detail\":[{\"loc\":[1],\"msg\":\"bad\"}]}", SL_FAULT_BAD_REQUEST, "bad" },
		{ 529, "{\"type\":\"error\",\"error\":{\"message\":\"full\"}}", SL_FAULT_OVERLOADED,
		  "full" },
		{ 500, "{\"error\":\"text\"}", SL_FAULT_UPSTREAM_STATUS, "text" },
		{ 400, "{\"message\":\"aws\"}", SL_FAULT_BAD_REQUEST, "aws" },
		{ 502, "<html>", SL_FAULT_UPSTREAM_STATUS,
		  "The provider answered with status 502 and no explanation." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sl_fault fault;

		sl_codec_read_error(rows[i].status, sl_slice_str(rows[i].body), &arena, &fault);
		assert_int_equal(fault.kind, rows[i].kind);
		assert_true(sl_slice_is(fault.message, rows[i].message));
	}
	begin((struct sl_flow_setup){ 0 });
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(runs_of_text_become_blocks),
		TEST(interleaved_calls_are_put_in_order),
		TEST(complete_arguments_do_not_hold_the_next_call),
		TEST(calls_wait_for_their_name_and_get_arguments),
		TEST(no_stop_is_an_error),
		TEST(choices_are_told_apart),
		TEST(names_come_back_and_free_form_input_is_unwrapped),
		TEST(signatures_are_sealed),
		TEST(the_fold_makes_an_answer),
		TEST(errors_of_any_provider_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
