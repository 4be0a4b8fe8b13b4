// CouchDB's interface, as express-pouchdb speaks it, in memory.

const express = require("express");
const PouchDB = require("pouchdb").plugin(require("pouchdb-adapter-memory")).defaults({ adapter: "memory" });
const couchdb = require("express-pouchdb")(PouchDB, { mode: "minimumForPouchDB", inMemoryConfig: true });

express().use("/", couchdb).listen(Number(process.argv[2]), "127.0.0.1");
