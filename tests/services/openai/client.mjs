// Many callers at once, by the official SDK.

import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "sk-test", maxRetries: 0 });

async function embed(call) {
  try {
    const { data, model, usage } = await client.embeddings.create(call);
    return { model, vectors: data.map((one) => [one.index, one.embedding]), tokens: usage.total_tokens };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { status: error.status, body: error.error, tokens: 0 };
  }
}

const calls = [];
for (let n = 0; n < 24; n++) calls.push({ model: "small", input: `text ${n}` });
for (let n = 0; n < 6; n++) calls.push({ model: "small", input: [`first ${n}`, `second ${n}`] });
for (let n = 0; n < 6; n++) calls.push({ model: "large", input: `text ${n}`, encoding_format: "float" });
calls.push({ model: "small", input: "text", dimensions: "many" });

const answers = await Promise.all(calls.map(embed));
const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
console.log(JSON.stringify({ answers: answers.map((answer) => ({ ...answer, tokens: undefined })), tokens }));
