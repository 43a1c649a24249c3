/* dialog_test.c - a conversation is settled into M1-M5 (model/dialog.h), places
 * print as JSON pointers, names and ids map as pure functions, inline media are
 * what their bytes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/media.h"
#include "model/model_rules.h"
#include "model/tool_map.h"

static struct sl_arena arena;
static struct sl_dialog dialog;
static struct sl_notes notes;

static int
setup(void **state)
{
	(void)state;
	sl_arena_init(&arena, 1024, 0);
	sl_dialog_init(&dialog, "test", &arena);
	notes = (struct sl_notes){ 0 };
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sl_arena_release(&arena);
	return 0;
}

/* "u:text" "a:text+call(ID)" "t:result(ID)"; '+' joins parts of one turn. */
static void
say(const char *turn_text)
{
	static uint32_t index;
	struct sl_slice rest = sl_slice_str(turn_text + 2);
	enum sl_role role = turn_text[0] == 'u'   ? SL_ROLE_USER
	                    : turn_text[0] == 'a' ? SL_ROLE_ASSISTANT
	                    : turn_text[0] == 't' ? SL_ROLE_TOOL
	                                          : SL_ROLE_SYSTEM;
	struct sl_turn *turn = sl_dialog_turn(&dialog, role, (struct sl_where){ .index = index++ });

	do {
		struct sl_slice piece = sl_slice_cut(&rest, '+');
		bool call = sl_slice_starts(piece, SL_SLICE("call("));
		bool result = sl_slice_starts(piece, SL_SLICE("result("));
		struct sl_part *part = sl_turn_part(
		    &dialog, turn,
		    call ? SL_PART_TOOL_CALL : result ? SL_PART_TOOL_RESULT : SL_PART_TEXT, turn->where);

		if (call || result) {
			size_t skip = call ? 5 : 7;

			part->call_id = sl_slice_make(piece.ptr + skip, piece.len - skip - 1);
			if (call)
				part->name = SL_SLICE("f");
		} else {
			part->text = sl_text_plain(piece);
		}
	} while (rest.len);
}

static void
print_part(struct sl_buf *out, const struct sl_part *part)
{
	static const char *const names[] = { "", "", "reasoning", "call", "result" };

	if (part->kind == SL_PART_TEXT)
		sl_buf_append(out, part->text.raw);
	else
		sl_buf_printf(out, "%s(%.*s)", names[part->kind], SL_ARG(part->call_id));
}

static void
settles_to(const char *expected)
{
	static const char roles[] = "sduat";
	struct sl_buf out;

	assert_true(sl_dialog_settle(&dialog, &notes));
	sl_buf_init(&out, 1 << 16);
	for (const struct sl_turn *turn = dialog.turns; turn; turn = turn->next) {
		sl_buf_printf(&out, "%s%c:", turn == dialog.turns ? "" : " | ", roles[turn->role]);
		for (const struct sl_part *part = turn->parts; part; part = part->next) {
			print_part(&out, part);
			if (part->next)
				sl_buf_append_char(&out, '+');
			else
				assert_ptr_equal(part, turn->parts_last);
		}
	}
	sl_buf_append_char(&out, '\0');
	assert_string_equal(out.ptr, expected);
	sl_buf_release(&out);
}

static bool
noted(enum sl_note_code code)
{
	for (size_t i = 0; i < notes.count; i++)
		if (notes.items[i].code == code)
			return true;
	return false;
}

static void
what_is_in_order_stays(void **state)
{
	(void)state;
	say("s:be good");
	say("u:hi");
	say("a:look+call(1)+call(2)");
	say("t:result(1)+result(2)");
	say("a:done");
	settles_to("s:be good | u:hi | a:look+call(1)+call(2) | t:result(1)+result(2) | a:done");
	assert_int_equal(notes.total, 0);
}

static void
results_stand_behind_their_calls(void **state)
{
	(void)state;
	say("u:hi");
	say("a:call(1)");
	say("a:call(2)");
	say("t:result(2)");
	say("t:result(1)");
	say("u:and?");
	settles_to("u:hi | a:call(1) | t:result(1) | a:call(2) | t:result(2) | u:and?");
	assert_true(noted(SL_NOTE_tool_result_moved));
}

static void
text_before_a_result_comes_behind_it(void **state)
{
	(void)state;
	say("u:hi");
	say("a:call(1)+text");
	say("u:first");
	say("t:result(1)");
	say("u:second");
	settles_to("u:hi | a:text+call(1) | t:result(1) | u:first+second");
}

static void
orphans_are_repaired(void **state)
{
	(void)state;
	say("t:result(9)");
	say("u:hi");
	say("a:call(1)");
	settles_to("u:[Result of tool call 9]+hi | a:call(1) | t:result(1)");
	assert_true(noted(SL_NOTE_tool_result_missing));
	assert_true(noted(SL_NOTE_tool_result_orphan));
	assert_int_equal(dialog.turns_last->parts->is_error, SL_YES);
	assert_true(sl_slice_is(dialog.turns_last->parts->name, "f"));
}

static void
repeated_ids_become_distinct(void **state)
{
	(void)state;
	say("u:a");
	say("a:call(x)+call(x)");
	say("t:result(x)+result(x)");
	say("a:call(x)");
	say("t:result(x)");
	settles_to("u:a | a:call(x)+call(x_2) | t:result(x)+result(x_2) | a:call(x_3) | t:result(x_3)");
}

static void
empties_go(void **state)
{
	(void)state;
	say("u:hi");
	say("a:");
	say("u: \n");
	say("u:you");
	settles_to("u:hi+you");
	assert_true(noted(SL_NOTE_empty_dropped));
	teardown(NULL);
	setup(NULL);
	say("u:");
	settles_to("u:.");
	assert_true(noted(SL_NOTE_turn_placeholder));
}

static void
places_print(void **state)
{
	const struct sl_where messages = { .name = SL_SLICE("messages") };
	const struct sl_where second = sl_where_element(&messages, 1);
	const struct sl_where odd = sl_where_member(&second, SL_SLICE("a/b~\n"));

	(void)state;
	assert_string_equal(sl_where_pointer(&odd, &arena).ptr, "/messages/1/a~1b~0?");
	assert_string_equal(sl_where_param(&second, &arena).ptr, "messages[1]");
	sl_note(&notes, SL_NOTE_part_dropped, &second);
	sl_note(&notes, SL_NOTE_part_dropped, &second);
	sl_note(&notes, SL_NOTE_turn_placeholder, NULL);
	assert_string_equal(sl_notes_print(&notes, &arena).ptr,
	                    "part_dropped;/messages/1, turn_placeholder");
	assert_true(notes.dropped);
	for (int i = 0; i < 100; i++)
		sl_note(&notes, SL_NOTE_unknown_member,
		        sl_dialog_where(&dialog, sl_where_element(&messages, (size_t)i)));
	assert_non_null(strstr(sl_notes_print(&notes, &arena).ptr, ", +38"));
}

static void
names_and_ids_map(void **state)
{
	static const struct sl_name_rule rule = { "_-", 64, false };
	static const struct sl_id_rule nine = { .exact_len = 9 }, short_ = { NULL, 40, 0 };
	struct sl_slice plain = SL_SLICE("fs_read_file"), odd = SL_SLICE("fs/read.file"), a, b;
	char many[131];

	(void)state;
	a = sl_tool_name_map(&rule, plain, &arena);
	b = sl_tool_name_map(&rule, odd, &arena);
	assert_ptr_equal(a.ptr, plain.ptr);
	assert_false(sl_slice_eq(a, b));
	assert_true(sl_slice_starts(b, plain));
	assert_true(sl_slice_eq(b, sl_tool_name_map(&rule, odd, &arena)));
	memset(many, 'x', sizeof(many));
	assert_int_equal(sl_tool_name_map(&rule, sl_slice_make(many, 130), &arena).len, 64);
	a = sl_call_id_map(&nine, SL_SLICE("functions.Bash:0"), &arena);
	assert_int_equal(a.len, 9);
	assert_false(sl_slice_eq(a, sl_call_id_map(&nine, SL_SLICE("functions.Bash:1"), &arena)));
	assert_true(sl_slice_eq(a, sl_call_id_map(&nine, a, &arena)));
	assert_true(sl_call_id_map(&short_, sl_slice_make(many, 60), &arena).len <= 40);
	assert_true(sl_slice_is(sl_call_id_map(&short_, SL_SLICE("a.b:0"), &arena), "a.b:0"));
}

static void
media_are_what_they_are(void **state)
{
	struct sl_part part = { 0 };

	(void)state;
	assert_true(sl_media_from_url(SL_SLICE(" DATA:image/JPEG;charset=utf-8;base64,iVBORw0KGgoA\nAAAN"),
	                              &arena, &notes, &part));
	assert_true(sl_slice_is(part.media.type, "image/png"));
	assert_true(sl_slice_is(part.media.data, "iVBORw0KGgoAAAAN"));
	assert_int_equal(part.kind, SL_PART_IMAGE);
	assert_true(noted(SL_NOTE_media_type_corrected));
	assert_true(sl_media_from_url(SL_SLICE("data:application/pdf;base64,JVBERi0xLjQK"), &arena,
	                              &notes, &part));
	assert_int_equal(part.kind, SL_PART_DOCUMENT);
	assert_false(sl_media_from_url(SL_SLICE("data:image/png,abc"), &arena, &notes, &part));
	assert_false(sl_media_from_url(SL_SLICE("data:image/png;base64,a*b="), &arena, &notes,
	                               &part));
	assert_true(sl_media_from_url(SL_SLICE("https://x/y.png"), &arena, &notes, &part));
	assert_int_equal(part.media.source, SL_MEDIA_URL);
}

static void
texts_keep_their_form(void **state)
{
	struct sl_json_writer w;
	struct sl_buf out;
	struct sl_slice utf8;
	struct sl_text text = { SL_SLICE("\"a\\n\\ud83d\""), true };

	(void)state;
	sl_buf_init(&out, 100);
	sl_json_writer_init(&w, &out);
	sl_text_put(&w, text);
	assert_true(sl_slice_eq(sl_buf_slice(&out), text.raw));
	sl_buf_clear(&out);
	sl_text_append(&out, text);
	sl_text_append(&out, sl_text_plain(SL_SLICE("\"q\"")));
	assert_true(sl_slice_is(sl_buf_slice(&out), "a\\n\\ud83d\\\"q\\\""));
	assert_true(sl_text_utf8(text, &arena, &utf8));
	assert_true(sl_slice_is(utf8, "a\n\xef\xbf\xbd"));
	sl_buf_release(&out);
}

static void
rules_are_found(void **state)
{
	(void)state;
	assert_true(sl_model_rules(SL_SLICE("claude-opus-4-8")) & SL_RULE_NO_SAMPLING);
	assert_true(sl_model_rules(SL_SLICE("us.anthropic.claude-sonnet-4-5-20250929-v1:0")) &
	            SL_RULE_ONE_SAMPLING);
	assert_true(sl_model_rules(SL_SLICE("openai/gpt-5-mini")) & SL_RULE_COMPLETION_TOKENS);
	assert_false(sl_model_rules(SL_SLICE("claude-sonnet-4-5")) & SL_RULE_NO_SAMPLING);
	assert_int_equal(sl_model_rules(SL_SLICE("gpt-4o")), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_in_order_stays),
		TEST(results_stand_behind_their_calls),
		TEST(text_before_a_result_comes_behind_it),
		TEST(orphans_are_repaired),
		TEST(repeated_ids_become_distinct),
		TEST(empties_go),
		TEST(places_print),
		TEST(names_and_ids_map),
		TEST(media_are_what_they_are),
		TEST(texts_keep_their_form),
		TEST(rules_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
