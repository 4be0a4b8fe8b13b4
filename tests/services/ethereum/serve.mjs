// A chain of its own, the same at every start.

import ganache from "ganache";

const server = ganache.server({
  logging: { quiet: true },
  wallet: { seed: "microbatch", totalAccounts: 40 },
  chain: { chainId: 1337 },
});
await server.listen(Number(process.argv[2]), "127.0.0.1");
