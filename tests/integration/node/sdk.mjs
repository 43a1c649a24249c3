// The official Node SDKs. argv: JSON {openai, anthropic, gemini, azure: {url, key}}.
// Prints one JSON line per check: {"name", "ok", "error"}; test_sdk_node.py reads them.
// Packages are found from the working directory, which test_sdk_node.py sets.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.cwd() + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const at = JSON.parse(process.argv[2]);
const { default: OpenAI } = await load('openai');
const { default: Anthropic } = await load('@anthropic-ai/sdk');
const { GoogleGenAI } = await load('@google/genai');

const said = 'You said: hello there \u2713';
const messages = [{ role: 'user', content: 'hello there' }];
const openai = new OpenAI({ baseURL: at.openai.url, apiKey: at.openai.key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: at.anthropic.url, apiKey: at.anthropic.key, maxRetries: 0 });
const gemini = (apiVersion) => new GoogleGenAI({
  apiKey: at.gemini.key, httpOptions: { baseUrl: at.gemini.url, ...(apiVersion && { apiVersion }) },
});
const claude = { model: 'claude-haiku-4-5', max_tokens: 100, messages };
const weather = { type: 'object', properties: { location: { type: 'string' } } };

const checks = {
  async openai_chat() {
    const answer = await openai.chat.completions.create({ model: 'gpt-4o-mini', messages });
    assert.equal(answer.choices[0].message.content, said);
  },
  async openai_chat_stream() {
    const stream = openai.chat.completions.stream({
      model: 'gpt-4o-mini', messages, stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, said);
    assert.ok(final.usage.total_tokens > 0);
  },
  async openai_chat_tools_stream() {
    const stream = openai.chat.completions.stream({
      model: 'gpt-4o-mini', messages,
      tools: [{ type: 'function', function: { name: 'get_weather', parameters: weather } }],
    });
    const call = (await stream.finalChatCompletion()).choices[0].message.tool_calls[0];
    assert.equal(JSON.parse(call.function.arguments).location, 'Paris');
  },
  async openai_responses() {
    const answer = await openai.responses.create({ model: 'gpt-4o-mini', input: 'hello there' });
    assert.equal(answer.output_text, said);
  },
  async openai_responses_stream() {
    const stream = openai.responses.stream({ model: 'gpt-4o-mini', input: 'hello there' });
    const final = await stream.finalResponse();
    assert.equal(final.status, 'completed');
    assert.equal(final.output[0].content[0].text, said);
  },
  async openai_completions() {
    const answer = await openai.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: 'hello there' });
    assert.equal(answer.choices[0].text, said);
  },
  async openai_embeddings() {
    const answer = await openai.embeddings.create({ model: 'text-embedding-3-small', input: ['a'], dimensions: 8 });
    assert.equal(answer.data[0].embedding.length, 8);
    assert.equal(typeof answer.data[0].embedding[0], 'number');
  },
  async openai_moderations() {
    const answer = await openai.moderations.create({ model: 'omni-moderation-latest', input: 'violence' });
    assert.equal(answer.results[0].flagged, true);
  },
  async openai_images() {
    const answer = await openai.images.generate({ model: 'gpt-image-1', prompt: 'a pixel' });
    assert.ok(answer.data[0].b64_json.length > 20);
  },
  async openai_speech() {
    const answer = await openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'say' });
    assert.equal((await answer.arrayBuffer()).byteLength, 16384);
  },
  async openai_transcription() {
    const file = new File([new Uint8Array(1000)], 'a.wav');
    const answer = await openai.audio.transcriptions.create({ model: 'whisper-1', file });
    assert.equal(answer.text, 'heard 1000 bytes');
  },
  async openai_models() {
    const ids = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    assert.ok(ids.includes('gpt-4o-mini'));
  },
  async openai_errors() {
    await assert.rejects(openai.chat.completions.create({ model: 'no-such-model', messages }), OpenAI.NotFoundError);
    await assert.rejects(openai.chat.completions.create({ model: 'gpt-4o-mini', messages: [] }), OpenAI.BadRequestError);
    const stranger = new OpenAI({ baseURL: at.openai.url, apiKey: 'sk-wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
  async anthropic_messages() {
    const answer = await anthropic.messages.create(claude);
    assert.equal(answer.content[0].text, said);
  },
  async anthropic_messages_stream() {
    const final = await anthropic.messages.stream(claude).finalMessage();
    assert.equal(final.content[0].text, said);
    assert.equal(final.stop_reason, 'end_turn');
  },
  async anthropic_thinking_tools_stream() {
    const final = await anthropic.messages.stream({
      ...claude, max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1024 },
      tools: [{ name: 'get_weather', input_schema: weather }],
    }).finalMessage();
    assert.deepEqual(final.content.map((block) => block.type), ['thinking', 'text', 'tool_use']);
    assert.equal(final.content[2].input.location, 'Paris');
  },
  async anthropic_count_tokens() {
    const answer = await anthropic.messages.countTokens({ model: claude.model, messages });
    assert.equal(answer.input_tokens, 5);
  },
  async anthropic_errors() {
    await assert.rejects(anthropic.messages.create({ ...claude, model: 'no-such-model' }), Anthropic.NotFoundError);
    const stranger = new Anthropic({ baseURL: at.anthropic.url, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.messages.create(claude), Anthropic.AuthenticationError);
  },
  async genai_generate() {
    for (const version of [undefined, 'v1beta', 'v1']) {
      const answer = await gemini(version).models.generateContent({ model: 'gemini-2.5-flash', contents: 'hello there' });
      assert.equal(answer.text, said);
    }
  },
  async genai_stream() {
    let text = '';
    const stream = await gemini().models.generateContentStream({ model: 'gemini-2.5-flash', contents: 'hello there' });
    for await (const part of stream) text += part.text;
    assert.equal(text, said);
  },
  async genai_embed() {
    const answer = await gemini().models.embedContent({ model: 'gemini-embedding-001', contents: ['a', 'b'] });
    assert.equal(answer.embeddings.length, 2);
  },
  async genai_count_tokens() {
    const answer = await gemini().models.countTokens({ model: 'gemini-2.5-flash', contents: 'one two three' });
    assert.equal(answer.totalTokens, 6);
  },
  async genai_errors() {
    await assert.rejects(
      gemini().models.generateContent({ model: 'no-such-model', contents: 'x' }),
      (err) => err.status === 404);
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(JSON.stringify({ name, ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, error: String(error?.stack ?? error).slice(0, 1500) }));
  }
}
process.exit(0);
