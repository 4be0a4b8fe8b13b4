// Many callers at once, by PouchDB.

const PouchDB = require("pouchdb");

const [, , url, turn] = process.argv;
const database = new PouchDB(`${url}/${turn}`);

const tell = (answer) => {
  const { ok, id, rev, status, name, message } = answer;
  return { ok, id, rev, status, name, message };
};
const tried = (promise) => promise.then((it) => (Array.isArray(it) ? it.map(tell) : tell(it)), tell);

(async () => {
  await database.info();
  const calls = [];
  for (let n = 0; n < 16; n++) calls.push(database.post({ _id: `single ${n}`, n }));
  for (let n = 0; n < 8; n++) calls.push(database.bulkDocs([{ _id: `first ${n}` }, { _id: `second ${n}`, n }]));
  const written = await Promise.all(calls.map(tried));
  // A conflict is the caller's own, and so is a document that the server won't have.
  const again = [];
  for (let n = 0; n < 8; n++) again.push(database.post({ _id: `single ${n}`, n }));
  for (let n = 0; n < 8; n++) again.push(database.post({ _id: `third ${n}`, n }));
  again.push(database.bulkDocs([{ _id: "_reserved" }]));
  const refused = await Promise.all(again.map(tried));
  const { rows } = await database.allDocs({ include_docs: true });
  console.log(JSON.stringify({ written, refused, documents: rows.map((row) => row.doc) }));
})();
