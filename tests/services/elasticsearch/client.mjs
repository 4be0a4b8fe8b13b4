// Many writers at once, by the official client.

import { Client, errors } from "@elastic/elasticsearch";

const [, , url, turn] = process.argv;
const client = new Client({ node: url, maxRetries: 0 });

async function index(document, options) {
  try {
    const { body, statusCode } = await client.index({ index: turn, document, ...options }, { meta: true });
    return { id: body._id, statusCode, result: body.result, index: body._index === turn };
  } catch (error) {
    if (!(error instanceof errors.ResponseError)) throw error;
    return { statusCode: error.statusCode, type: error.body.error.type, reason: error.body.error.reason };
  }
}

const calls = [];
for (let n = 0; n < 24; n++) calls.push(index({ n, text: `Ä\n${n}` }));
for (let n = 0; n < 4; n++) calls.push(index({ n }, { refresh: "wait_for" }));
calls.push(index({ date: 1 }), index({ n: 0 }, { id: "own" }));
const written = await Promise.all(calls);

const ids = written.map(({ id }) => id).filter((id) => id !== undefined);
const { docs } = await client.mget({ index: turn, ids });
const answers = written.map((one) => ({ ...one, id: undefined }));
console.log(JSON.stringify({ answers, documents: docs.map((one) => one._source) }));
await client.close();
