// What the official Node SDKs raise for each failure of each kind of provider. argv: JSON
// {url, key, models}. Prints one JSON line per call: {"name", "status", "error", "code"};
// test_typed_errors.py judges them.
import { anthropic, gemini, models, openai } from './clients.mjs';

const messages = [{ role: 'user', content: 'hi' }];

const callers = {
  chat: (model) => openai.chat.completions.create({ model, messages }),
  responses: (model) => openai.responses.create({ model, input: 'hi' }),
  messages: (model) => anthropic.messages.create({ model, max_tokens: 9, messages }),
  gemini: (model) => gemini.models.generateContent({ model, contents: 'hi' }),
};

for (const model of models) {
  for (const [caller, ask] of Object.entries(callers)) {
    const told = { name: `${caller} ${model}`, error: null };
    try {
      await ask(model);
    } catch (error) {
      Object.assign(told, { status: error.status, error: error.constructor.name, code: error.code });
    }
    console.log(JSON.stringify(told));
  }
}
process.exit(0);
