/* page.c - GET /: what this is, whether it is well, how to send a request.
 *
 * One self-contained document: style and script carry a nonce that is new in
 * every answer, and the policy forbids everything else, connections included, so
 * a key that is pasted into the page cannot leave it. Works without script; with
 * it, snippets take the pasted key and the address the browser used.
 */
#include "admin/call.h"
#include "admin/health.h"
#include "base/rand.h"

enum { PAGE_MAX = 1 << 18, NONCE_BYTES = 16 };

/* {{...}} is replaced by the escaped value of that name. */
static const char page_head[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>Sluice</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style nonce=\"{{nonce}}\">\n"
    ":root{--page:#f7f8f8;--card:#fff;--ink:#17211f;--soft:#5a6865;--line:#dde3e1;"
    "--accent:#0b6b5c;--code:#eef2f1;--well:#0b7a4b;--ill:#b3261e}\n"
    "@media (prefers-color-scheme:dark){:root{--page:#101614;--card:#18201e;--ink:#e6edea;"
    "--soft:#9aa9a5;--line:#2a3532;--accent:#5fd0ba;--code:#0c1110;--well:#58c98f;"
    "--ill:#ff8a80}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.55 system-ui,sans-serif}\n"
    "main{max-width:46rem;margin:0 auto;padding:3rem 1.25rem 4rem}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0 0 .25rem;letter-spacing:-.01em}\n"
    "h2{font-size:1.1rem;margin:2.25rem 0 .5rem}\n"
    "p{margin:.5rem 0}\n"
    ".soft{color:var(--soft)}\n"
    ".state{display:inline-flex;align-items:center;gap:.5rem;margin:1rem 0 0;"
    "padding:.3rem .8rem;border:1px solid var(--line);border-radius:99px;"
    "background:var(--card)}\n"
    ".state::before{content:\"\";width:.6rem;height:.6rem;border-radius:50%;"
    "background:var(--ill)}\n"
    ".state.well::before{background:var(--well)}\n"
    "label{display:block;font-weight:600;margin:.75rem 0 .25rem}\n"
    "input{width:100%;font:inherit;padding:.5rem .75rem;color:inherit;"
    "background:var(--card);border:1px solid var(--line);border-radius:.5rem}\n"
    "input:focus-visible,a:focus-visible,button:focus-visible"
    "{outline:2px solid var(--accent);outline-offset:2px}\n"
    "figure{margin:1rem 0;border:1px solid var(--line);border-radius:.6rem;"
    "background:var(--card);overflow:hidden}\n"
    "figcaption{display:flex;justify-content:space-between;align-items:center;"
    "padding:.4rem .9rem;font-size:.9rem;font-weight:600;"
    "border-bottom:1px solid var(--line)}\n"
    "pre{margin:0;padding:.9rem;overflow-x:auto;background:var(--code);"
    "font:13.5px/1.5 ui-monospace,monospace}\n"
    "button{font:inherit;font-size:.85rem;padding:.15rem .6rem;cursor:pointer;"
    "color:var(--accent);background:none;border:1px solid var(--line);border-radius:.4rem}\n"
    "p code,li code{white-space:nowrap}\n"
    "code{font-family:ui-monospace,monospace;font-size:.92em}\n"
    "a{color:var(--accent)}\n"
    "ul{padding-left:1.2rem}\n"
    "</style>\n"
    "</head>\n";

static const char page_body[] =
    "<body>\n"
    "<main>\n"
    "<h1>Sluice</h1>\n"
    "<p class=\"soft\">An AI gateway: one address and one key in front of every model "
    "provider. Programs written for the OpenAI, Anthropic or Google SDK work through it "
    "with only base URL and key changed.</p>\n"
    "<p class=\"state {{state}}\" role=\"status\">{{condition}}</p>\n"
    "\n"
    "<h2>Send the first request</h2>\n"
    "<p>{{keys}}</p>\n"
    "<label for=\"key\">Your key</label>\n"
    "<input id=\"key\" type=\"password\" autocomplete=\"off\" spellcheck=\"false\" "
    "placeholder=\"gw_virt_…\" aria-describedby=\"key-note\">\n"
    "<p class=\"soft\" id=\"key-note\">It is put into the examples below and stays in this "
    "page: the page cannot open connections.</p>\n"
    "\n"
    "<figure><figcaption>curl</figcaption>\n"
    "<pre><code>curl <span data-base>{{base}}</span>/v1/chat/completions \\\n"
    "  -H \"Authorization: Bearer <span data-key>$SLUICE_KEY</span>\" \\\n"
    "  -H \"Content-Type: application/json\" \\\n"
    "  -d '{\"model\": \"{{model}}\",\n"
    "       \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'"
    "</code></pre></figure>\n"
    "\n"
    "<figure><figcaption>Python, openai</figcaption>\n"
    "<pre><code>from openai import OpenAI\n"
    "\n"
    "client = OpenAI(base_url=\"<span data-base>{{base}}</span>/v1\", "
    "api_key=\"<span data-key>gw_virt_...</span>\")\n"
    "for chunk in client.chat.completions.create(\n"
    "    model=\"{{model}}\", stream=True,\n"
    "    messages=[{\"role\": \"user\", \"content\": \"Say hello.\"}],\n"
    "):\n"
    "    if chunk.choices:\n"
    "        print(chunk.choices[0].delta.content or \"\", end=\"\")</code></pre></figure>\n";

static const char page_more[] =
    "<figure><figcaption>Python, anthropic</figcaption>\n"
    "<pre><code>from anthropic import Anthropic\n"
    "\n"
    "client = Anthropic(base_url=\"<span data-base>{{base}}</span>\", "
    "api_key=\"<span data-key>gw_virt_...</span>\")\n"
    "message = client.messages.create(\n"
    "    model=\"claude-haiku-4-5\", max_tokens=100,\n"
    "    messages=[{\"role\": \"user\", \"content\": \"Say hello.\"}],\n"
    ")\n"
    "print(message.content[0].text)</code></pre></figure>\n"
    "\n"
    "<figure><figcaption>Python, google-genai</figcaption>\n"
    "<pre><code>from google import genai\n"
    "\n"
    "client = genai.Client(api_key=\"<span data-key>gw_virt_...</span>\",\n"
    "                      http_options={\"base_url\": "
    "\"<span data-base>{{base}}</span>\"})\n"
    "reply = client.models.generate_content(\n"
    "    model=\"gemini-2.5-flash\", contents=\"Say hello.\")\n"
    "print(reply.text)</code></pre></figure>\n"
    "<p class=\"soft\">Which models your key may use: "
    "<code>GET <span data-base>{{base}}</span>/v1/models</code>.</p>\n"
    "\n"
    "<h2>What it answers</h2>\n"
    "<ul>\n"
    "<li>OpenAI: <code>/v1/chat/completions</code>, <code>/v1/responses</code>, "
    "<code>/v1/completions</code>, <code>/v1/embeddings</code>, "
    "<code>/v1/moderations</code>, <code>/v1/images/generations</code>, "
    "<code>/v1/audio/transcriptions</code>, <code>/v1/audio/speech</code></li>\n"
    "<li>Anthropic: <code>/v1/messages</code>, <code>/v1/messages/count_tokens</code></li>\n"
    "<li>Gemini, below <code>/v1beta/models/MODEL</code> or <code>/v1/models/MODEL</code>: "
    "<code>:generateContent</code>, <code>:streamGenerateContent</code>, "
    "<code>:countTokens</code>, <code>:embedContent</code>, "
    "<code>:batchEmbedContents</code></li>\n"
    "<li>All: <code>GET /v1/models</code></li>\n"
    "</ul>\n"
    "\n"
    "<h2>For the operator</h2>\n"
    "<ul>\n"
    "<li><a href=\"/health\">/health</a> and <a href=\"/ready\">/ready</a> for probes; "
    "they never call a model.</li>\n"
    "<li><a href=\"/metrics\">/metrics</a> for Prometheus.</li>\n"
    "<li><code>/admin/keys</code>, <code>/admin/spend</code> and <code>/admin/reload</code> "
    "with the master key; <code>sluice keys --help</code> does the first on the command "
    "line.</li>\n"
    "</ul>\n"
    "</main>\n"
    "<script nonce=\"{{nonce}}\">\n"
    "'use strict';\n"
    "const every = (selector, change) => document.querySelectorAll(selector).forEach(change);\n"
    "every('[data-base]', span => { span.textContent = location.origin; });\n"
    "every('[data-key]', span => { span.dataset.key = span.textContent; });\n"
    "document.getElementById('key').addEventListener('input', event => {\n"
    "  const key = event.target.value.trim();\n"
    "  every('[data-key]', span => { span.textContent = key || span.dataset.key; });\n"
    "});\n"
    "every('figcaption', caption => {\n"
    "  if (!navigator.clipboard) return;\n"
    "  const button = document.createElement('button');\n"
    "  button.type = 'button';\n"
    "  button.textContent = 'Copy';\n"
    "  button.addEventListener('click', async () => {\n"
    "    await navigator.clipboard.writeText(\n"
    "      caption.parentElement.querySelector('code').textContent);\n"
    "    button.textContent = 'Copied';\n"
    "    setTimeout(() => { button.textContent = 'Copy'; }, 1500);\n"
    "  });\n"
    "  caption.append(button);\n"
    "});\n"
    "</script>\n"
    "</body>\n"
    "</html>\n";

struct value {
	const char     *name;
	struct sl_slice text;
};

static void
append_escaped(struct sl_buf *out, struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		switch (text.ptr[i]) {
		case '&': sl_buf_append_str(out, "&amp;"); break;
		case '<': sl_buf_append_str(out, "&lt;"); break;
		case '>': sl_buf_append_str(out, "&gt;"); break;
		case '"': sl_buf_append_str(out, "&quot;"); break;
		case '\'': sl_buf_append_str(out, "&#39;"); break;
		default: sl_buf_append_char(out, text.ptr[i]);
		}
	}
}

static void
render(struct sl_buf *out, const char *template, const struct value *values, size_t count)
{
	struct sl_slice rest = sl_slice_str(template);
	ptrdiff_t open;

	while ((open = sl_slice_search(rest, SL_SLICE("{{"))) >= 0) {
		struct sl_slice name = sl_slice_from(rest, (size_t)open + 2);
		ptrdiff_t close = sl_slice_search(name, SL_SLICE("}}"));

		sl_buf_append(out, sl_slice_upto(rest, (size_t)open));
		rest = sl_slice_from(name, (size_t)close + 2);
		name = sl_slice_upto(name, (size_t)close);
		for (size_t i = 0; i < count; i++)
			if (sl_slice_is(name, values[i].name))
				append_escaped(out, values[i].text);
	}
	sl_buf_append(out, rest);
}

static const char *
condition_text(const struct admin_condition *condition)
{
	if (condition->ready)
		return "Ready for requests";
	return condition->draining ? "Shutting down: new requests are turned away"
	                           : "Not well: the store refuses writes; see the log";
}

static void
make_nonce(char nonce[2 * NONCE_BYTES + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[NONCE_BYTES];

	sl_rand_bytes(random, sizeof(random));
	for (size_t i = 0; i < NONCE_BYTES; i++) {
		nonce[2 * i] = digits[random[i] >> 4];
		nonce[2 * i + 1] = digits[random[i] & 15];
	}
	nonce[2 * NONCE_BYTES] = '\0';
}

void
admin_page(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct admin_condition condition = admin_condition(call->admin);
	struct sl_arena *arena = &call->exchange->arena;
	struct sl_slice host = services->base_url ? services->base_url(services->context)
	                                          : call->exchange->request.authority;
	struct sl_slice model = services->sample_model ? services->sample_model(services->context)
	                                               : SL_SLICE_NONE;
	char nonce[2 * NONCE_BYTES + 1];
	const struct value values[] = {
		{ "nonce", sl_slice_make(nonce, 2 * NONCE_BYTES) },
		{ "state", condition.ready ? SL_SLICE("well") : SL_SLICE("ill") },
		{ "condition", sl_slice_str(condition_text(&condition)) },
		{ "keys", services->keys_required
		              ? SL_SLICE("Requests need a key. The first start printed one; more are "
		                         "made with \"sluice keys create\" or POST /admin/keys.")
		              : SL_SLICE("This gateway runs without keys: any value will do.") },
		{ "base", sl_arena_printf(arena, "%s://%.*s",
		                          call->exchange->request.secure ? "https" : "http",
		                          SL_ARG(host)) },
		{ "model", model.len ? model : SL_SLICE("gpt-4o-mini") },
	};
	struct sl_header policy = { .name = SL_SLICE("content-security-policy") };
	struct sl_buf page;

	make_nonce(nonce);
	policy.value = sl_arena_printf(
	    arena, "default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; img-src data:; "
	           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce, nonce);
	sl_buf_init(&page, PAGE_MAX);
	render(&page, page_head, values, sizeof(values) / sizeof(values[0]));
	render(&page, page_body, values, sizeof(values) / sizeof(values[0]));
	render(&page, page_more, values, sizeof(values) / sizeof(values[0]));
	if (page.failed || !policy.value.ptr)
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
	else
		admin_answer(call, 200, "text/html; charset=utf-8", &policy, 1,
		             sl_buf_slice(&page));
	sl_buf_release(&page);
}
