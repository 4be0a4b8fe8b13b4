"""KServe's model server, on loopback alone, with a model that is arithmetic."""

import socket
import sys

from kserve import Model
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer


class Scale(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        factor = payload.get("factor", 2)
        return {"predictions": [[number * factor for number in instance] for instance in payload["instances"]]}


repository = ModelRepository()
for name in ["one", "two"]:
    repository.update(Scale(name))
plane = DataPlane(model_registry=repository)
server = RESTServer("kserve.model_server:app", plane, ModelRepositoryExtension(repository), http_port=0)
# Its own socket is one on every address.
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
server.run(sockets=[listener])
