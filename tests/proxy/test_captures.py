"""The captured instance behind the proxy: every reply is the captured one, tokens required there and here or not."""

import pytest

from support.capture import REQUESTS, ask, check, configuration, name


@pytest.fixture(scope="module", params=["required", "optional"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def daemon(serve_module, mode, tmp_path_factory):
    """The proxy. The instance behind it requires tokens, whatever the proxy does."""
    folder = tmp_path_factory.mktemp("t3-nano")
    upstream = serve_module(configuration("required", folder), folder=folder)
    return serve_module(f'tokens = "{mode}"\nupstream = "{upstream.url}"\n')


@pytest.fixture(scope="module")
def token(daemon):
    return daemon.imds.token(300)


@pytest.mark.parametrize("row", REQUESTS, ids=name)
def test_row(daemon, mode, token, row):
    for kept_alive in (False, True):
        check(row, mode, ask(daemon, row, token, kept_alive), kept_alive)
