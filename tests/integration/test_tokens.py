"""Token counts equal those of the reference package on a corpus made here."""
import base64
import json
import pathlib
import random
import subprocess

import pytest

from tests.integration.gateway import BINARY

VOCABULARY = pathlib.Path(__file__).resolve().parents[2] / "build/vocabulary"

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="%s is not built" % BINARY)


def run(*arguments, **options):
    return subprocess.run([str(BINARY), "tokens", *arguments], capture_output=True, timeout=600,
                          **options)


def counts(model, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = run("--lines", "--model", model, input=lines.encode())
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def is_exact():
    version = subprocess.run([str(BINARY), "version"], capture_output=True, text=True, timeout=60)
    return "token counts: exact" in version.stdout


@pytest.fixture(scope="module")
def encodings(tmp_path_factory):
    """The reference, fed with the vocabulary that the build fetched: its own download
    needs a network."""
    tiktoken = pytest.importorskip("tiktoken", reason="the package tiktoken is not installed")
    if not is_exact() or not (VOCABULARY / "o200k_base.tiktoken").exists():
        pytest.skip("built without the vocabularies of tools/vocabulary")
    from tiktoken_ext import openai_public

    def ranks(url, **_):
        path = VOCABULARY / url.rsplit("/", 1)[1]
        lines = (line.split() for line in path.read_bytes().splitlines())
        return {base64.b64decode(token): int(rank) for token, rank in lines}

    openai_public.load_tiktoken_bpe = ranks
    return {"gpt-4o": tiktoken.Encoding(**openai_public.o200k_base()),
            "gpt-4": tiktoken.Encoding(**openai_public.cl100k_base())}


WORDS = """the of and question tokenizer HTTPServer don't I'LL we've x'S naïve café straße ИЛИ
мир привет こんにちは 世界 天气很好 हिन्दी ไทย עברית العربية Ελληνικά 한국어 🙂 👩‍👩‍👧 ½ Ⅷ ٣٤ 1234567 3.14159 https://a.example/b?c=d
__init__ <|endoftext|> {"a":[1,2]} == --- ... !!! ſ 'ſ ǅ ʰ \u0301 \u00a0 \u2003 \u3000 \u0085 \u001c""".split(" ")


def corpus(seed):
    rng = random.Random(seed)
    separators = [" ", " ", " ", "", "\n", "  ", "\t", " \n\n ", "\r\n", "/"]
    scripts = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x600), (0x900, 0xA00), (0x2000, 0x2100),
               (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00), (0x1F300, 0x1F700),
               (0x10D00, 0x10E00), (0x31350, 0x31400)]
    for _ in range(1200):  # words as people write them
        yield "".join(rng.choice(WORDS) + rng.choice(separators) for _ in range(rng.randrange(1, 60)))
    for _ in range(1200):  # any characters of a few scripts
        some = rng.sample(scripts, 3)
        yield "".join(chr(rng.randrange(*rng.choice(some))) for _ in range(rng.randrange(1, 80)))
    for _ in range(600):  # few letters, so that many merges compete
        letters = rng.choice(["ab", "abc", "ABa", "-=", "  \n", "etaoin", "的一是", "аоеи"])
        yield "".join(rng.choice(letters) for _ in range(rng.randrange(1, 400)))
    for unit in ["a", "A", " ", "\n", "-", "ab", "あA", "e\u0301", "1"]:
        yield unit * 3000


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_counts_equal_the_reference(encodings, model):
    texts = list(corpus(20))
    wanted = [len(encodings[model].encode_ordinary(text)) for text in texts]
    wrong = [(is_, want, text[:80]) for is_, want, text in zip(counts(model, texts), wanted, texts)
             if is_ != want]
    assert not wrong, "%d of %d: %r" % (len(wrong), len(texts), wrong[:3])


def test_every_character_has_the_class_of_the_reference(encodings):
    """Beside letters of both cases, a mark, a number and a space, a character shows what
    it is by where the text is cut."""
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join("A{0}b{0}{0}1{0} {0}\n".format(chr(code)) for code in codes[at:at + 256])
             for at in range(0, len(codes), 256)]
    for model, encoding in encodings.items():
        is_ = counts(model, texts)
        wanted = [len(tokens) for tokens in encoding.encode_ordinary_batch(texts)]
        wrong = ["U+%04X" % codes[i * 256] for i, (a, b) in enumerate(zip(is_, wanted)) if a != b]
        assert not wrong, "%s: in the 256 from %s on" % (model, wrong[:5])


def test_one_text():
    done = run(input="hello world".encode())
    assert done.returncode == 0
    tokens, _, how = done.stdout.decode().partition(" tokens, ")
    assert int(tokens) == 2 if is_exact() else 2 <= int(tokens) <= 4
    assert how.startswith("exact" if is_exact() else "calibrated")


def test_an_estimate_says_so():
    done = run("--model", "claude-sonnet-4-5", input=("word " * 1000).encode())
    assert done.returncode == 0
    tokens, method, between, low, and_, high = done.stdout.decode().replace(",", "").replace(
        " tokens", "").split()
    assert method == "calibrated"
    assert int(low) < int(tokens) < int(high)
    assert 900 < int(tokens) < 1500


def test_wrong_use():
    assert run("--no-such").returncode == 2
    assert run("/nonexistent/file").returncode == 1
    done = run("--lines", input=b"not JSON\n")
    assert done.returncode == 1 and b"line 1" in done.stderr
