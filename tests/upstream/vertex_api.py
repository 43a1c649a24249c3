"""Vertex AI: the Gemini API under project paths, with a service account's tokens."""
import re
import urllib.parse

from .app import Provider
from .gemini_api import Gemini
from .oauth import ServiceAccount, Tokens
from .rules import Broken, expect

PATH = re.compile(r"^/v1/projects/emulated-project/locations/us-central1/publishers/google"
                  r"(/models/[^/]+)$")


class Vertex(Gemini):
    name = "vertex"

    def __init__(self, key, journal, label=None):
        Provider.__init__(self, key, journal, label)
        self.tokens = Tokens()
        self._account = None

    def account(self, url):
        """The account whose file names this emulator's token endpoint."""
        self._account = self._account or ServiceAccount(url + "/token")
        return self._account

    def check_credential(self, request):
        if request.path == "/token":
            return
        sent = self.credentials(request)
        if len(sent) != 1 or sent[0][0] != "authorization" or not self.tokens.is_good(sent[0][1]):
            raise Broken("Request had invalid authentication credentials. Expected OAuth 2 access "
                         "token.", None, None, 401)

    def handle(self, request, entry):
        if request.path == "/token":
            return self.tokens.answer(request, self.check_grant)
        match = PATH.match(urllib.parse.unquote(request.path))
        if match is None:
            raise Broken("Requested entity was not found.", None, None, 404)
        request.path = request.raw_path = "/v1" + match.group(1)
        return Gemini.handle(self, request, entry)

    def check_grant(self, form):
        expect(form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
               and set(form) == {"grant_type", "assertion"}, "unsupported_grant_type", None)
        self._account.verify(form["assertion"])
