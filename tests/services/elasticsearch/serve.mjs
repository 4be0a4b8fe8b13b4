// Stands in for Elasticsearch, which no package registry has: what it answers to POST /{index}/_doc, PUT
// /{index}/_doc/{id}, POST /_bulk and POST /{index}/_mget. Numbers in a field "date" are refused, as by a mapping.

import http from "node:http";

const documents = new Map();

function store(index, id, document) {
  if (typeof document.date === "number") {
    const error = { type: "document_parsing_exception", reason: "failed to parse field [date]" };
    return { status: 400, error };
  }
  const _id = id ?? crypto.randomUUID();
  documents.set(`${index}/${_id}`, document);
  return { _index: index, _id, _version: 1, result: "created", _primary_term: 1, status: 201 };
}

function answer(path, body) {
  if (path === "/_bulk") {
    const lines = body.trimEnd().split("\n").map((line) => JSON.parse(line));
    const items = [];
    for (let n = 0; n < lines.length; n += 2) {
      items.push({ index: store(lines[n].index._index, lines[n].index._id, lines[n + 1]) });
    }
    return [200, { took: 1, errors: items.some((item) => item.index.error), items }];
  }
  const [index, action, id] = path.slice(1).split("/");
  if (action === "_mget") {
    const found = (_id) => ({ _index: index, _id, found: true, _source: documents.get(`${index}/${_id}`) });
    return [200, { docs: (JSON.parse(body || "{}").ids ?? []).map(found) }];
  }
  const { status, ...stored } = store(index, id, JSON.parse(body));
  return [status, status < 400 ? stored : { ...stored, status }];
}

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const path = new URL(request.url, "http://localhost").pathname;
  const [status, document] = answer(path, Buffer.concat(parts).toString());
  // Its clients refuse to speak with anything that doesn't say so.
  response.writeHead(status, { "content-type": "application/json", "x-elastic-product": "Elasticsearch" });
  response.end(JSON.stringify(document));
});
server.listen(Number(process.argv[2]), "127.0.0.1");
