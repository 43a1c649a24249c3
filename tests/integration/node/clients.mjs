// The official Node SDKs, pointed at a gateway. argv: JSON {url, key, models}. The packages are
// those of the directory that the script is run in.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.cwd() + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { url, key, models } = JSON.parse(process.argv[2]);
const { default: OpenAI } = await load('openai');
const { default: Anthropic } = await load('@anthropic-ai/sdk');
const { GoogleGenAI } = await load('@google/genai');

export const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
export const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
export const gemini = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
export { models };
