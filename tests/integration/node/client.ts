// A client of the types that were written from the API document: makes a key, lists keys,
// sends a chat completion with the new one, reads what was spent.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [, , baseUrl, master] = process.argv;

function client(key: string) {
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
}

function need<T>(value: T | undefined, what: unknown): T {
  if (value === undefined) throw new Error(JSON.stringify(what));
  return value;
}

// Answers that can also come as text (events, CSV) are told apart by their type.
function json<T>(value: T | string): T {
  if (typeof value === "string") throw new Error(value);
  return value;
}

const admin = client(master);
const fields: components["schemas"]["KeyFields"] = { name: "typed", rpm: 60, monthly_budget_usd: 5 };
const made = await admin.POST("/admin/keys", { body: fields });
const key: components["schemas"]["NewKey"] = need(made.data, made.error);

const list = await admin.GET("/admin/keys", {});
const names: (string | null)[] = need(list.data, list.error).data.map((one) => one.name);

const chat = await client(key.key).POST("/v1/chat/completions", {
  body: { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello" }] },
});
const choices: number = json(need(chat.data, chat.error)).choices.length;

// Records are written behind the answer.
async function spent() {
  for (let tries = 0; ; tries++) {
    const spend = await admin.GET("/admin/spend", { params: { query: { by: "key" } } });
    const rows = need(json(need(spend.data, spend.error)).data.by_key, "by_key");
    const row = rows.find((one) => one.key === key.id);
    if (row || tries === 50) return need(row, rows);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const row = await spent();

const refused = await client("gw_virt_unknown").GET("/v1/credits", {});
console.log(JSON.stringify({
  names, choices, requests: row.requests, cost: row.cost_usd,
  refused: refused.response.status, why: need(refused.error, refused).error.message,
}));
