"""SIGHUP: the configuration is read again, taken whole or refused whole, and the log is reopened."""

import os
import signal

from support.wait import until
from support.wire import Connection, request_bytes

LEAF = "/latest/meta-data/instance-id"
TYPE = "/latest/meta-data/instance-type"


def configuration(kind: str, more: str = "") -> str:
    return f'{more}\n[instance]\ninstance-type = "{kind}"\n'


def reload(daemon, text: str):
    # By rename, as a careful editor does: a reload may come in the middle of any other way of writing.
    fresh = daemon.config.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, daemon.config)
    daemon.signal(signal.SIGHUP)


def test_the_new_configuration_is_served(serve):
    daemon = serve(configuration("t3.nano"))
    reload(daemon, configuration("m5.large"))
    until(lambda: daemon.imds.get(TYPE).text == "m5.large", "the new type")


def test_the_token_mode_changes_on_a_reload_and_tokens_stay_good(serve):
    daemon = serve('tokens = "optional"\n')
    token = daemon.imds.token()
    reload(daemon, 'tokens = "required"\n')
    until(lambda: daemon.imds.get(LEAF).status == 401, "tokens are required")
    assert daemon.imds.get(LEAF, token).status == 200


def test_a_bad_configuration_is_refused_whole(serve):
    daemon = serve(configuration("t3.nano"))
    reload(daemon, configuration("m5.large") + "regoin = 1\n")
    line = daemon.wait_for_log("regoin")
    assert "ERROR" in line and "region" in line and f"{daemon.config}:" in line
    assert daemon.imds.get(TYPE).text == "t3.nano"


def test_a_configuration_that_cannot_be_read_is_refused(serve):
    daemon = serve(configuration("t3.nano"))
    daemon.config.unlink()
    daemon.signal(signal.SIGHUP)
    assert "ERROR" in daemon.wait_for_log("config.toml")
    assert daemon.imds.get(TYPE).text == "t3.nano"


def test_it_recovers_from_a_refused_configuration(serve):
    daemon = serve(configuration("t3.nano"))
    reload(daemon, "tokens = 5\n")
    daemon.wait_for_log("tokens")
    reload(daemon, configuration("m5.large"))
    until(lambda: daemon.imds.get(TYPE).text == "m5.large", "the mended configuration")


def test_a_changed_listen_is_reported_as_needing_a_restart(serve):
    daemon = serve(configuration("t3.nano", 'listen = "127.0.0.1:0"'), listen=())
    reload(daemon, configuration("m5.large", 'listen = "127.0.0.1:1"'))
    assert "restart" in daemon.wait_for_log("listen was changed")
    until(lambda: daemon.imds.get(TYPE).text == "m5.large", "the rest of it counts")


def test_an_unchanged_listen_is_not_reported(serve):
    daemon = serve(configuration("t3.nano"))
    reload(daemon, configuration("m5.large"))
    until(lambda: daemon.imds.get(TYPE).text == "m5.large", "the new type")
    daemon.stop()
    assert "restart" not in daemon.log


def test_a_kept_connection_sees_the_change(serve):
    daemon = serve(configuration("t3.nano"))
    with Connection(daemon.address) as connection:

        def read() -> str:
            connection.send(request_bytes("GET", TYPE, {"Connection": "keep-alive"}))
            return connection.answer().text

        assert read() == "t3.nano"
        reload(daemon, configuration("m5.large"))
        until(lambda: read() == "m5.large", "the new type on the old connection")


def test_no_request_fails_during_200_reloads(serve):
    daemon = serve(configuration("t3.nano"))
    kinds = {"t3.nano", "m5.large"}
    with Connection(daemon.address) as connection:
        for number in range(200):
            reload(daemon, configuration("m5.large" if number % 2 else "t3.nano"))
            connection.send(request_bytes("GET", TYPE, {"Connection": "keep-alive"}))
            answer = connection.answer()
            assert answer.status == 200 and answer.text in kinds


def test_a_log_file_that_was_moved_away_is_opened_anew(serve, tmp_path):
    """What logrotate does: rename, then SIGHUP."""
    log = tmp_path / "server.log"
    daemon = serve(f'[log]\nfile = "{log}"\n')
    daemon.imds.get("/before")
    until(lambda: "/before" in log.read_text(), "a line in the log file")
    log.rename(tmp_path / "server.log.1")
    daemon.signal(signal.SIGHUP)
    until(log.exists, "the new log file")
    daemon.imds.get("/after")
    until(lambda: "/after" in log.read_text(), "a line in the new log file")
    assert "/after" not in (tmp_path / "server.log.1").read_text()


def test_a_bad_configuration_still_lets_logrotate_rotate(serve, tmp_path):
    log = tmp_path / "server.log"
    daemon = serve(f'[log]\nfile = "{log}"\n')
    daemon.imds.get("/before")
    until(lambda: "/before" in log.read_text(), "a line in the log file")
    log.rename(tmp_path / "server.log.1")
    reload(daemon, "nonsense")
    until(lambda: log.exists() and "refused" in log.read_text(), "the refusal in the new log file")


def test_user_data_is_read_again(serve, tmp_path):
    data = tmp_path / "data"
    data.write_text("one")
    daemon = serve(f'[instance]\nuser-data-file = "{data}"\n')
    assert daemon.imds.text("/latest/user-data") == "one"
    data.write_text("two")
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.imds.get("/latest/user-data").text == "two", "the new user data")
