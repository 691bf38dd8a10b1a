"""Every request of the capture of a real t3.nano, asked of a daemon configured to be that instance.

In required mode the replies are those of the capture. With optional tokens a request without one is answered as the
capture answers the same request with one.
"""

import pytest

from support.capture import REQUESTS, ask, check, configuration, name
from support.expected import PAGE_404


@pytest.fixture(scope="module", params=["required", "optional"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def daemon(serve_module, mode, tmp_path_factory):
    folder = tmp_path_factory.mktemp("t3-nano")
    return serve_module(configuration(mode, folder), folder=folder)


@pytest.fixture(scope="module")
def token(daemon):
    return daemon.imds.token(300)


@pytest.mark.parametrize("row", REQUESTS, ids=name)
def test_row(daemon, mode, token, row):
    for kept_alive in (False, True):
        check(row, mode, ask(daemon, row, token, kept_alive), kept_alive)


def test_the_capture_is_whole():
    assert len(REQUESTS) == 280
    assert len(PAGE_404) == 339
