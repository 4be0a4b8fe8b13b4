// Many writers at once, each with one row: INSERT … FORMAT JSONEachRow.

const [, , url, turn] = process.argv;

async function ask(query) {
  const answer = await fetch(`${url}/`, { method: "POST", body: query });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

await ask(`CREATE TABLE ${turn} (id UInt64, text String) ENGINE = MergeTree ORDER BY id`);
const insert = `${url}/?query=${encodeURIComponent(`INSERT INTO ${turn} FORMAT JSONEachRow`)}`;
const row = (id) => JSON.stringify({ id, text: `row ${id} Ä\n"` });
const write = (body) => fetch(insert, { method: "POST", headers: { "content-type": "application/json" }, body });
// A row that can't be read is nobody else's, and two rows are no single value.
const odd = write('{"id":"none"}');
const written = await Promise.all(Array.from({ length: 64 }, (_, id) => write(row(id))));
const two = await write(`${row(100)}\n${row(101)}\n`);
const rows = await ask(`SELECT count(), sum(id), sum(cityHash64(text)) FROM ${turn} FORMAT TabSeparated`);
console.log(JSON.stringify({ written: written.map((it) => it.ok), two: two.ok, odd: (await odd).ok, rows }));
