// A sink that reads what it is sent by the SDK, whatever the mode, and tells what it has.

import http from "node:http";
import { HTTP } from "cloudevents";

const events = [];

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  if (request.method === "GET") {
    response.end(JSON.stringify(events));
    return;
  }
  try {
    events.push(...[HTTP.toEvent({ headers: request.headers, body: Buffer.concat(parts).toString() })].flat());
    response.statusCode = 202;
  } catch (error) {
    response.statusCode = 400;
    response.write(error.message);
  }
  response.end();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
