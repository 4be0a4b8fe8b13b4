"""LitServe's OpenAI-shaped server, with a model whose vectors follow from the texts."""

import hashlib
import sys

import litserve


class Embeddings(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, inputs):
        texts = inputs if isinstance(inputs, list) else [inputs]
        vectors = [[byte / 256 for byte in hashlib.sha256(text.encode()).digest()] for text in texts]
        return vectors, sum(map(len, texts))

    def encode_response(self, output):
        vectors, tokens = output
        return {"embeddings": vectors, "prompt_tokens": tokens, "total_tokens": tokens}


if __name__ == "__main__":
    server = litserve.LitServer(Embeddings(spec=litserve.OpenAIEmbeddingSpec()), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
