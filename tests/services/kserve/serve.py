"""KServe's model server, on loopback alone, with a model that is arithmetic."""

import socket
import sys

from kserve import Model, ModelServer
from kserve.protocol.rest.server import RESTServer


class Scale(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        factor = payload.get("factor", 2)
        return {"predictions": [[number * factor for number in instance] for instance in payload["instances"]]}


models = ModelServer(enable_grpc=False)
for name in ["one", "two"]:
    models.register_model(Scale(name))
server = RESTServer("kserve.model_server:app", models.dataplane, models.model_repository_extension, http_port=0)
# Its own socket is one on every address.
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
server.run(sockets=[listener])
