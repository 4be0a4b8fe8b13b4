"""Many callers at once, by web3.py: each has a provider, and so ids that begin at 0."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from web3 import Web3
from web3.exceptions import Web3RPCError

TURN = sys.argv[2]


def tell(call):
    try:
        answer = call()
        return answer.hex() if isinstance(answer, bytes) else answer
    except Web3RPCError as error:
        answer = error.rpc_response["error"]
        return {"code": answer["code"], "message": answer["message"]}


def caller(n):
    web3 = Web3(Web3.HTTPProvider(sys.argv[1]))
    accounts = web3.eth.accounts
    stranger = Web3.to_checksum_address(Web3.keccak(text=f"{TURN} {n} py")[-20:])
    transfer = {"from": accounts[20 + n], "to": stranger, "value": 1000 + n, "gas": 21000, "gasPrice": 10**10}
    dear = {**transfer, "value": 10**30}
    answers = [
        tell(lambda: web3.eth.chain_id),
        tell(lambda: web3.eth.get_block(0)["hash"]),
        tell(lambda: web3.eth.get_code(accounts[n])),
        tell(lambda: web3.manager.request_blocking("eth_nothing", [])),
        tell(lambda: web3.eth.send_transaction(dear)),
    ]
    web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(transfer), poll_latency=0.05)
    return [*answers, tell(lambda: web3.eth.get_balance(stranger))]


with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(caller, range(8)))))
