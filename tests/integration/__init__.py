"""The real binary over loopback, with the official SDKs as clients.

Start with gateway.py (one process under test) and conftest.py (fixtures), then:

    shapes.py, rawhttp.py   how a caller writes a request, and reads the answer
    test_emulators.py       the bench itself
    test_sdk_*.py           official SDKs, each against emulator and gateway
    test_bytes.py           bytes in equal bytes out; relayed as they arrive
    test_keys.py            virtual keys and the admin API
    test_usage.py           headers of the contract, cost, the provider's bill
    test_bad_input.py       what a caller may do wrong
    test_faults.py          what a provider may do wrong
    test_http1.py, test_http2.py   the wire by hand, TLS
    test_observe.py         health, metrics, log, ids
    test_life.py            start, reload, drain
    test_commands.py        check, keys, mock, version, help

Every test ends with a look into the emulators' journal: nothing of a gateway's
own contract may have reached a provider.
"""
