// Many emitters at once, by the SDK, structured and binary.

import { CloudEvent, Mode, emitterFor, httpTransport } from "cloudevents";

const [, , url, turn] = process.argv;
const transport = httpTransport(`${url}/events`);

const event = (n) =>
  new CloudEvent({
    id: String(n),
    source: `/${turn}`,
    type: "test.event",
    time: "2026-01-01T00:00:00.000Z",
    data: { n, text: "Ä\n\u2028" },
    extension: "kept",
  });

const structured = emitterFor(transport, { mode: Mode.STRUCTURED });
const binary = emitterFor(transport, { mode: Mode.BINARY });
const emitted = [];
for (let n = 0; n < 32; n++) emitted.push(structured(event(n)));
for (let n = 32; n < 36; n++) emitted.push(binary(event(n)));
await Promise.all(emitted);

const stored = await (await fetch(`${url}/events`)).json();
const own = stored.filter((one) => one.source === `/${turn}`).sort((a, b) => a.id - b.id);
console.log(JSON.stringify(own.map((one) => ({ ...one, source: undefined }))));
