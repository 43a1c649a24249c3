"""Strict provider emulators: what the gateway talks to in the tests.

Each emulator answers one provider's API over HTTP/1.1 on a loopback port,
with nothing but the standard library. It is strict in both directions: a
request that breaks the provider's rules gets that provider's own 400, 401 or
404, and a request it served stands in a journal with the usage it reported,
so that a test can compare the gateway's records with the provider's bill.

    wire.py          HTTP/1.1 server with raw access to what goes out
    rules.py         small checker for request members, and test directives
    journal.py       the bill, and the search for things that leaked
    faults.py        misbehaviour on demand
    openai_api.py    chat, completions, responses, embeddings, images, audio
    azure_api.py     the OpenAI API behind deployment paths
    anthropic_api.py messages, count_tokens
    bedrock_api.py   converse, converse-stream, signatures checked
    cohere_api.py    v2 chat, embed
    mistral_api.py   embeddings
    gemini_api.py    generateContent and its siblings, v1beta and v1
    vertex_api.py    the Gemini API with a service account's tokens
    oauth.py         token endpoints
    fleet.py         all of them in one thread

By hand: python3 -m tests.upstream --port 4100
"""
