"""Many callers at once, by KServe's own client."""

import asyncio
import json
import sys

import httpx
from kserve import InferenceRESTClient, RESTConfig

CLIENT = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))


async def predict(model, call):
    try:
        return await CLIENT.infer(sys.argv[1], call, model_name=model)
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "body": error.response.json()}


async def main():
    calls = [("one", {"instances": [[n, 0.5]]}) for n in range(24)]
    calls += [("one", {"instances": [[n], [n + 1]]}) for n in range(4)]
    calls += [("one", {"instances": [[n]], "factor": 3}) for n in range(4)]
    calls += [("two", {"instances": [[n]]}) for n in range(4)]
    calls += [("none", {"instances": [[1]]}), ("one", {"instances": "none"}), ("one", {"instances": []})]
    # What the model can't read fails its whole batch, and nobody else.
    calls += [("one", {"instances": [7]})]
    print(json.dumps(await asyncio.gather(*(predict(*call) for call in calls))))


asyncio.run(main())
