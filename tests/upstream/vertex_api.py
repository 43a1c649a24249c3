"""Vertex AI: the Gemini API and Claude under project paths, with a service account's tokens."""
import re
import urllib.parse

from .anthropic_api import Anthropic
from .app import Provider, dump, parse_object
from .gemini_api import Gemini
from .oauth import ServiceAccount, Tokens
from .rules import Broken, expect

PATH = re.compile(r"^/v1/projects/emulated-project/locations/us-central1/publishers/"
                  r"(google|anthropic)(/models/([^/:]+):([A-Za-z]+))$")


class Vertex(Gemini):
    name = "vertex"

    def __init__(self, key, journal, label=None):
        Provider.__init__(self, key, journal, label)
        self.tokens = Tokens()
        self._account = None
        self._claude = Anthropic(key, journal, self.label)

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
        if match.group(1) == "anthropic":
            return self.claude(request, entry, match.group(3), match.group(4))
        request.path = request.raw_path = "/v1" + match.group(2)
        return Gemini.handle(self, request, entry)

    def claude(self, request, entry, model, verb):
        """Anthropic's own rules, but for what stands in the path and the version."""
        body = parse_object(request.body)
        expect("model" not in body, "model: Extra inputs are not permitted", "model")
        expect(body.pop("anthropic_version", None) == "vertex-2023-10-16",
               "anthropic_version: Field required", "anthropic_version")
        expect(verb == ("streamRawPredict" if body.get("stream") else "rawPredict"),
               "the method does not fit stream", "stream")
        request.body = dump(dict(body, model=model))
        request.path = "/v1/messages"
        request.headers = [h for h in request.headers if h[0].lower() != "anthropic-version"]
        request.headers.append(("anthropic-version", "2023-06-01"))
        return self._claude.handle(request, entry)

    def check_grant(self, form):
        expect(form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
               and set(form) == {"grant_type", "assertion"}, "unsupported_grant_type", None)
        self._account.verify(form["assertion"])
