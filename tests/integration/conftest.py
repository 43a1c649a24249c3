"""Fixtures: the emulators for the session, one gateway for each module."""
import os
import re
import time

import pytest

from tests.integration import gateway as gateway_module
from tests.integration.gateway import Gateway
from tests.upstream.fleet import Fleet


@pytest.fixture(scope="session")
def fleet():
    fleet = Fleet().start()
    yield fleet
    fleet.stop()


DAY_S, LONGEST_TEST_S = 86400, 90


@pytest.fixture(autouse=True)
def within_one_day():
    """Budgets and sums of a day begin anew at midnight UTC, and shortly before it a refusal says
    that waiting helps: no test begins so late that it may see two days."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < LONGEST_TEST_S:
        time.sleep(left_s + 0.5)


@pytest.fixture(autouse=True)
def nothing_leaks(fleet):
    """Nothing of a gateway's own contract may reach a provider."""
    yield
    leaks = fleet.journal.leaks()
    fleet.journal.reset()
    for provider in fleet.providers.values():
        provider.plan.clear()
    assert not leaks, "leaked upstream: %s" % "; ".join(leaks)


@pytest.fixture(scope="session")
def binary():
    reason = gateway_module.can_serve()
    if reason and "SLUICE_BIN" in os.environ:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return gateway_module.BINARY


@pytest.fixture(scope="module")
def gateway_options():
    """Modules override this to change the configuration."""
    return {}


@pytest.fixture(scope="module")
def gateway(binary, fleet, tmp_path_factory, gateway_options):
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), fleet, **gateway_options)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.new_key(name="module")["key"]


class Target:
    """Where an SDK is pointed: straight at the emulators, or at the gateway."""

    def __init__(self, name, fleet, gateway=None, key=None):
        self.name = name
        self.fleet = fleet
        self.gateway = gateway
        self._key = key

    def key(self, provider):
        return self._key or self.fleet.key(provider)

    def url(self, provider, base_path=True):
        if self.gateway is None:
            return self.fleet.url(provider, base_path)
        return self.gateway.url + ("/v1" if base_path and provider == "openai" else "")


@pytest.fixture(scope="module", params=["emulator", "gateway"])
def target(request, fleet):
    if request.param == "emulator":
        return Target("emulator", fleet)
    gateway = request.getfixturevalue("gateway")
    return Target("gateway", fleet, gateway, request.getfixturevalue("key"))


# --- a second chance ------------------------------------------------------------------
# tools/run-tests runs failed tests once more. Final is what a second run cannot mend: a
# crash, a sanitizer's report, what fails after a test, and the marker `exact`.

CRASH = re.compile(r"exit status -?\d+ after SIGTERM|ended with -\d+ at start|ended when allocation"
                   r" \d+ failed|sanitizer report:|" + gateway_module.SANITIZER.pattern)


def pytest_runtest_logreport(report):
    path = os.environ.get("SLUICE_VERDICTS")
    if not path or report.outcome == "skipped" or (report.passed and report.when != "call"):
        return
    verdict = "passed"
    if report.failed:
        final = (report.when == "teardown" or "exact" in report.keywords
                 or CRASH.search(report.longreprtext))
        verdict = "final" if final else "again"
    place = report.nodeid.partition("::")[0] if report.when == "setup" else report.nodeid
    with open(path, "a", encoding="utf-8") as file:
        file.write("%s\t%s\t%s\n" % (verdict, report.nodeid, place))


def pytest_collection_modifyitems(config, items):
    path = os.environ.get("SLUICE_ONLY")
    if not path:
        return
    with open(path, encoding="utf-8") as file:
        wanted = set(file.read().splitlines())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
    items[:] = [item for item in items if item.nodeid in wanted]


def pytest_runtest_makereport(item, call):
    """Keep what the gateway wrote beside the failure."""
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        gateway = getattr(item, "funcargs", {}).get("gateway")
        if gateway is not None:
            item.add_report_section(call.when, "gateway in %s" % gateway.directory,
                                    gateway.logs()[-3000:])
