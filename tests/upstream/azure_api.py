"""Azure OpenAI: the same API behind deployment paths, with `api-key` and a
required `api-version`. The model in the path decides; the body may repeat it.
"""
import re

from .app import Provider
from .oauth import Tokens
from .openai_api import OpenAI
from .rules import Broken, expect

DEPLOYMENT = re.compile(r"^/openai/deployments/([^/]+)(/.+)$")
VERSION = re.compile(r"^20\d\d-\d\d-\d\d(-preview)?$")


TOKEN_PATH = "/emulated-tenant/oauth2/v2.0/token"
CLIENT_ID = "6f1d0e2a-emulated"


class Azure(OpenAI):
    name = "azure"

    def __init__(self, key, journal, label=None):
        OpenAI.__init__(self, key, journal, label)
        self.tokens = Tokens()

    def handle(self, request, entry):
        if request.path == TOKEN_PATH:
            return self.tokens.answer(request, self.check_grant)
        return OpenAI.handle(self, request, entry)

    def check_grant(self, form):
        expect(form == {"grant_type": "client_credentials", "client_id": CLIENT_ID,
                        "client_secret": self.key,
                        "scope": "https://cognitiveservices.azure.com/.default"},
               "AADSTS7000215: Invalid client secret provided.", None)

    def check_credential(self, request):
        if request.path == TOKEN_PATH:
            return
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        if self.tokens.is_good(token) and request.header("api-key") is None:
            return
        if request.header("authorization") is not None:
            raise Broken(self.wrong_key(), None, "401", 401)
        Provider.check_credential(self, request)

    def missing_key(self):
        return ("Access denied due to missing subscription key. Make sure to include "
                "subscription key when making requests to an API.")

    def wrong_key(self):
        return ("Access denied due to invalid subscription key or wrong API endpoint. Make sure "
                "to provide a valid key for an active subscription.")

    def unknown_model(self, model):
        return ("The API deployment for this resource does not exist. If you created the "
                "deployment within the last 5 minutes, please wait a moment and try again.")

    def error(self, status, message, broken):
        if status in (401, 404):
            code = {401: "401", 404: "DeploymentNotFound"}[status]
            return {"error": {"code": code, "message": message}}
        return OpenAI.error(self, status, message, broken)

    def id_headers(self, entry):
        return [("apim-request-id", entry.request_id), ("x-ms-region", "Emulated")]

    def local_path(self, request):
        match = DEPLOYMENT.match(request.path)
        if request.path.startswith("/openai/v1/"):
            return request.path[len("/openai/v1"):]
        if match is None:
            raise Broken("Resource not found", None, "404", 404)
        version = request.query.get("api-version", "")
        if not VERSION.match(version):
            raise Broken("Resource not found", None, "404", 404)
        return match.group(2)

    def fill_model(self, request, body):
        match = DEPLOYMENT.match(request.path)
        if match is not None:
            body["model"] = match.group(1)
