// Conversations of the official Node SDKs with models whose providers speak another
// API. argv: JSON {url, key, models}. Prints one JSON line per check; see
// test_translate_node.py. Each conversation has three turns with two calls at once.
import assert from 'node:assert/strict';
import { anthropic, gemini, models, openai } from './clients.mjs';

const order = 'go @turns=3 @calls=2';
const schema = { type: 'object', properties: { location: { type: 'string' } } };
const tools = ['get_weather', 'get_time'];
const result = (name, args) => `${name} of ${args.location}`;
const wanted = [0, 1, 2].flatMap((turn) => tools.map((name, k) => `${name} of place ${turn}.${k} \u2713`));
const judge = (text) => assert.deepEqual(wanted.filter((one) => !text.includes(one)), [], text);

const talks = {
  async chat(model) {
    const messages = [{ role: 'user', content: order }];
    for (let turn = 0; turn < 5; turn++) {
      const stream = openai.chat.completions.stream({
        model, messages,
        tools: tools.map((name) => ({ type: 'function', function: { name, parameters: schema } })),
      });
      const { message } = (await stream.finalChatCompletion()).choices[0];
      if (!message.tool_calls?.length) return message.content;
      messages.push(message, ...message.tool_calls.map((call) => ({
        role: 'tool', tool_call_id: call.id,
        content: result(call.function.name, JSON.parse(call.function.arguments)),
      })));
    }
  },
  async responses(model) {
    const input = [{ role: 'user', content: order }];
    for (let turn = 0; turn < 5; turn++) {
      const stream = openai.responses.stream({
        model, input, store: false, include: ['reasoning.encrypted_content'],
        tools: tools.map((name) => ({ type: 'function', name, parameters: schema, strict: false })),
      });
      const final = await stream.finalResponse();
      assert.equal(final.status, 'completed');
      const calls = final.output.filter((item) => item.type === 'function_call');
      if (!calls.length) return final.output_text;
      input.push(...final.output.map(({ parsed_arguments, ...item }) => item), ...calls.map((call) => ({
        type: 'function_call_output', call_id: call.call_id,
        output: result(call.name, JSON.parse(call.arguments)),
      })));
    }
  },
  async messages(model) {
    const messages = [{ role: 'user', content: order }];
    for (let turn = 0; turn < 5; turn++) {
      const final = await anthropic.messages.stream({
        model, max_tokens: 4000, messages, thinking: { type: 'enabled', budget_tokens: 2048 },
        tools: tools.map((name) => ({ name, input_schema: schema })),
      }).finalMessage();
      const calls = final.content.filter((block) => block.type === 'tool_use');
      if (!calls.length) return final.content.filter((block) => block.type === 'text').map((block) => block.text).join('');
      messages.push({ role: 'assistant', content: final.content }, {
        role: 'user',
        content: calls.map((call) => ({
          type: 'tool_result', tool_use_id: call.id, content: result(call.name, call.input),
        })),
      });
    }
  },
  async gemini(model) {
    const contents = [{ role: 'user', parts: [{ text: order }] }];
    for (let turn = 0; turn < 5; turn++) {
      const parts = [];
      const stream = await gemini.models.generateContentStream({
        model, contents,
        config: {
          thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 },
          tools: [{ functionDeclarations: tools.map((name) => ({ name, parametersJsonSchema: schema })) }],
        },
      });
      for await (const chunk of stream) parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
      const calls = parts.filter((part) => part.functionCall).map((part) => part.functionCall);
      if (!calls.length) return parts.filter((part) => part.text && !part.thought).map((part) => part.text).join('');
      contents.push({ role: 'model', parts }, {
        role: 'user',
        parts: calls.map((call) => ({
          functionResponse: { id: call.id, name: call.name, response: { output: result(call.name, call.args) } },
        })),
      });
    }
  },
};

for (const model of models) {
  for (const [shape, talk] of Object.entries(talks)) {
    const name = `${shape}-${model}`;
    try {
      judge(await talk(model) ?? 'the conversation does not end');
      console.log(JSON.stringify({ name, ok: true }));
    } catch (error) {
      console.log(JSON.stringify({ name, ok: false, error: String(error?.stack ?? error).slice(0, 1500) }));
    }
  }
}
process.exit(0);
