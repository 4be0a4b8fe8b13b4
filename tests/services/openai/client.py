"""Many callers at once, by the official SDK."""

import asyncio
import json
import sys

import openai

CLIENT = openai.AsyncOpenAI(base_url=f"{sys.argv[1]}/v1", api_key="sk-test", max_retries=0)


async def embed(**call):
    try:
        answer = await CLIENT.embeddings.create(**call)
    except openai.APIStatusError as error:
        return {"status": error.status_code, "body": error.body}, 0
    vectors = [[one.index, one.embedding] for one in answer.data]
    return {"model": answer.model, "vectors": vectors}, answer.usage.total_tokens


async def main():
    calls = [{"model": "small", "input": f"text {n}"} for n in range(24)]
    calls += [{"model": "small", "input": [f"first {n}", f"second {n}"]} for n in range(6)]
    calls += [{"model": "large", "input": f"text {n}", "encoding_format": "float"} for n in range(6)]
    calls += [{"model": "small", "input": "text", "dimensions": "many"}]
    answers = await asyncio.gather(*(embed(**call) for call in calls))
    tokens = sum(tokens for _, tokens in answers)
    print(json.dumps({"answers": [answer for answer, _ in answers], "tokens": tokens}))


asyncio.run(main())
