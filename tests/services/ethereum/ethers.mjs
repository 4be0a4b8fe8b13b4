// Many callers at once, by ethers: first one request a call, then as ethers batches them itself.

import { JsonRpcProvider, id, toBeHex } from "ethers";

const [, , url, turn] = process.argv;

// What differs from one node to the next is left out.
async function tell(promise) {
  try {
    return String(await promise);
  } catch (error) {
    const { code, message } = error.error ?? error.info?.error ?? error;
    return { code, message };
  }
}

// Every caller has a provider, and so ids that begin at 1.
async function caller(n, options) {
  const provider = new JsonRpcProvider(url, 1337, { staticNetwork: true, ...options });
  try {
    const accounts = await provider.send("eth_accounts", []);
    const stranger = `0x${id(`${turn} ${n} ${options.batchMaxCount}`).slice(-40)}`;
    const transfer = { from: accounts[n], to: stranger, value: toBeHex(1000 + n) };
    return await Promise.all([
      tell(provider.getCode(accounts[n])),
      tell(provider.send("eth_chainId", [])),
      tell(provider.send("eth_getBlockByNumber", ["0x0", false]).then((block) => block.hash)),
      tell(provider.send("eth_getBalance", ["nobody"])),
      tell(provider.send("eth_nothing", [])),
      tell(
        provider
          .send("eth_sendTransaction", [transfer])
          .then((hash) => provider.waitForTransaction(hash))
          .then(() => provider.getBalance(stranger)),
      ),
    ]);
  } finally {
    provider.destroy();
  }
}

const answers = [];
for (const batchMaxCount of [1, 100]) {
  const callers = Array.from({ length: 8 }, (_, n) => caller(n, { batchMaxCount }));
  answers.push(await Promise.all(callers));
}
console.log(JSON.stringify(answers));
