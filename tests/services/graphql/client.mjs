// Many callers at once, by graphql-request.

import { ClientError, GraphQLClient } from "graphql-request";

const [, , url, turn] = process.argv;
const client = new GraphQLClient(`${url}/graphql`);

// Without the status: a call that was merged is 200, and its errors are in its body.
async function ask(query, variables) {
  try {
    return { data: await client.request(query, variables) };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { data: error.response.data, errors: error.response.errors };
  }
}

const greeting = "query Greeting($name: String!) { greeting(name: $name) }";
const add = "mutation Add($counter: String!) { add(counter: $counter, number: 1) }";
const calls = [];
for (let n = 0; n < 24; n++) calls.push([greeting, { name: `caller ${n}` }]);
for (let n = 0; n < 8; n++) calls.push([add, { counter: `${turn} ${n}` }]);
calls.push(["{ broken }"], ["{ forbidden }"], ["{ nothing }"], ["{"], [greeting, {}]);

// What Apollo refuses a whole array for.
async function post(body) {
  const answer = await fetch(`${url}/graphql`, { method: "POST", headers: { "content-type": "application/json" }, body });
  return { status: answer.status, body: await answer.text() };
}
const spoilt = ["{}", '{"query":3}', "3"].map(post);
const together = await Promise.all(calls.map((call) => ask(...call)));
const refused = await Promise.all(spoilt);

// Alone, the status too.
const alone = [];
for (const query of ["{ nothing }", "{ forbidden }", "{ broken }"]) {
  const answer = await client.rawRequest(query).catch((error) => error.response);
  alone.push({ status: answer.status, data: answer.data, errors: answer.errors });
}
console.log(JSON.stringify({ together, refused, alone }));
