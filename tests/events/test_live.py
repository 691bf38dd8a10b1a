"""Live changes: `set`, `unset`, `tags`, `user-data`, `tokens`, `endpoint`, `reload`; what lasts and what does not."""

import os
import stat

import pytest

TAGS = '[instance]\ninstance-metadata-tags = "enabled"\n[instance.tags]\nName = "configured"\nTeam = "core"\n'


def changes(steered) -> list[str]:
    """What is changed, as `status` lists it."""
    return [change["what"] for change in steered.status()["changes"]]


def test_set_gives_a_path_a_value_in_its_leaf_and_in_its_listing(steered):
    assert steered.do("set", "placement/group-name", "spread-1") == "meta-data/placement/group-name = spread-1\n"
    assert steered.meta("placement/group-name") == "spread-1"
    assert "group-name" in steered.menu("placement/")
    assert steered.get("/2021-03-23/meta-data/placement/group-name").text == "spread-1", "under every version"
    assert changes(steered) == ["meta-data/placement/group-name = spread-1"]
    steered.do("set", "placement/group-name", "spread-2")
    assert steered.meta("placement/group-name") == "spread-2"
    assert changes(steered) == ["meta-data/placement/group-name = spread-2"], "a later change takes its place"


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("instance-type", "/latest/meta-data/instance-type"),
        ("meta-data/instance-type", "/latest/meta-data/instance-type"),
        ("latest/meta-data/instance-type", "/latest/meta-data/instance-type"),
        ("/2009-04-04/meta-data/instance-type", "/2009-04-04/meta-data/instance-type"),
        ("dynamic/my/own", "/latest/dynamic/my/own"),
        ("made/up/path", "/latest/meta-data/made/up/path"),
    ],
)
def test_set_takes_every_spelling_of_a_path(steered, path, whole):
    steered.do("set", path, "a value of mine")
    assert steered.get(whole).text == "a value of mine"
    if whole.startswith("/2009"):
        assert steered.meta("instance-type") != "a value of mine", "one version alone"


def test_set_of_several_is_one_change(steered):
    printed = steered.do("set", "a", "1", "b", "2", "c/d", "3")
    assert printed == "meta-data/a = 1\nmeta-data/b = 2\nmeta-data/c/d = 3\n"
    assert [steered.meta(path) for path in ("a", "b", "c/d")] == ["1", "2", "3"]
    steered.refused("set", "a", "4", "b//", "5", "e", "6")
    assert [steered.meta(path) for path in ("a", "b", "e")] == ["1", "2", None], "none of them was made"


@pytest.mark.parametrize("value", ["", " ", "two\nlines\n", "ä ☃", "-5", "x" * 20_000], ids=str.__len__)
def test_set_takes_any_text(steered, value):
    steered.do("set", "mine", "--", value) if value.startswith("--") else steered.do("set", "mine", value)
    assert steered.meta("mine") == value
    assert len(changes(steered)[0]) < 200, "the status shows its beginning"


def test_a_value_that_begins_like_an_option_needs_two_dashes(steered):
    steered.do("set", "--", "mine", "--value")
    assert steered.meta("mine") == "--value"


def test_set_below_a_leaf_is_refused_and_of_a_folder_replaces_it(steered):
    assert "instance-id" in steered.refused("set", "instance-id/below", "x")
    assert changes(steered) == []
    before = steered.menu("placement/")
    steered.do("set", "placement", "x")
    assert steered.meta("placement") == "x" and "placement" in steered.menu()
    steered.do("unset", "placement")
    assert steered.menu("placement/") == before


@pytest.mark.parametrize("path", ["", "meta-data", "meta-data/", "dynamic", "/latest/meta-data", "2021-03-23/dynamic", "latest"])
def test_the_menu_itself_takes_no_value(steered, path):
    before = steered.menu()
    told = steered.refused("set", path, "x")
    assert ("the path is empty" if path == "" else "holds paths, not a value") in told
    assert steered.menu() == before and changes(steered) == []
    if path == "":
        assert "the path is empty" in steered.refused("unset", path)


def test_unset_takes_a_live_value_back(steered):
    before = steered.meta("instance-type")
    steered.do("set", "instance-type", "m7g.large", "mine", "x")
    assert steered.do("unset", "instance-type", "mine").splitlines() == [
        "meta-data/instance-type: as configured",
        "meta-data/mine: as configured",
    ]
    assert (steered.meta("instance-type"), steered.meta("mine")) == (before, None)
    assert changes(steered) == []


def test_unset_of_what_is_configured_removes_it_and_undo_brings_it_back(steered):
    before = steered.meta("placement/region"), steered.menu("placement/")
    steered.do("unset", "placement/region")
    assert steered.meta("placement/region") is None and "region" not in steered.menu("placement/")
    assert changes(steered) == ["meta-data/placement/region removed"]
    assert "unset --undo brings it back" in steered.refused("unset", "placement/region")
    steered.do("unset", "--undo", "placement/region")
    assert (steered.meta("placement/region"), steered.menu("placement/")) == before
    assert "has no live change" in steered.refused("unset", "--undo", "placement/region")


def test_unset_of_a_folder_removes_what_is_in_it(steered):
    steered.do("unset", "network/")
    assert steered.meta("network/interfaces/macs/") is None and "network/" not in steered.menu()


def test_unset_of_nothing_is_refused(steered):
    assert "there is no meta-data/no-such-path" in steered.refused("unset", "no-such-path")
    assert "there is no meta-data/no-such-path" in steered.refused("unset", "instance-type", "no-such-path")
    assert steered.meta("instance-type") is not None, "of several all or none"


def test_tags_are_shown_wherever_tags_are(steer):
    steered = steer(TAGS)
    steered.do("tags", "set", "Name", "live", "Stage", "two words")
    assert steered.menu("tags/instance/") == ["Name", "Stage", "Team"]
    assert [steered.meta("tags/instance/" + key) for key in ("Name", "Stage", "Team")] == ["live", "two words", "core"]
    assert changes(steered) == ["tag Name = live", "tag Stage = two words"]
    steered.do("tags", "unset", "Name", "Stage")
    assert steered.menu("tags/instance/") == ["Team"]
    assert 'there is no tag "Name"' in steered.refused("tags", "unset", "Name")
    steered.do("tags", "unset", "Team")
    assert steered.get("tags/instance/").status in (200, 404)
    assert steered.get("tags/instance/Team").status == 404


def test_tags_that_ec2_would_refuse_are_refused(steer):
    steered = steer(TAGS)
    for key in ("", "a/b", "two words", "..", "_index"):
        assert "letters, digits" in steered.refused("tags", "set", key, "value")
    hidden = steer('[instance]\ninstance-metadata-tags = "disabled"\n')
    assert "instance-metadata-tags" in hidden.refused("tags", "set", "Name", "x")


@pytest.mark.parametrize("data", [b"#!/bin/sh\necho ready\n", bytes(range(256)), b"x" * 16384], ids=["text", "bytes", "most"])
def test_user_data_is_replaced_byte_by_byte(steered, tmp_path, data):
    assert steered.get("/latest/user-data").status == 404
    file = tmp_path / "data"
    file.write_bytes(data)
    steered.do("user-data", str(file))
    answer = steered.get("/latest/user-data")
    assert answer.body == data and answer.get("Content-Type") == "application/octet-stream"
    assert "user-data" in steered.get("/latest/").text.split("\n")
    assert changes(steered) == [f"user-data of {len(data)} bytes"], "and never shown"
    steered.do("user-data", "--none")
    assert steered.get("/latest/user-data").status == 404


def test_user_data_and_tags_are_seen_behind_a_path_that_was_set_before(steer):
    steered = steer(TAGS)
    steered.do("set", "user-data", "by path", "2021-03-23/user-data", "of a version", "tags/instance/Name", "by path")
    steered.do("unset", "/latest/user-data")
    steered.do("user-data", "-", input="data")
    steered.do("tags", "set", "Name", "tag")
    assert [steered.get(f"/{version}/user-data").text for version in ("latest", "2021-03-23", "2009-04-04")] == ["data"] * 3
    assert steered.meta("tags/instance/Name") == "tag"
    assert changes(steered) == ["user-data of 4 bytes", "tag Name = tag"]
    steered.do("set", "user-data", "later", "tags/instance/Name", "later")
    assert (steered.get("/latest/user-data").text, steered.meta("tags/instance/Name")) == ("later", "later")


def test_user_data_comes_from_standard_input_too(steered):
    steered.do("user-data", "-", input="from a pipe")
    assert steered.get("/latest/user-data").text == "from a pipe"


def test_user_data_beyond_ec2s_limit_is_refused(steered, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"x" * 16385)
    assert "at most 16384 bytes" in steered.refused("user-data", str(file))


def test_tokens_are_required_or_not(steered):
    read = steered.daemon.imds.get
    assert read("/latest/meta-data/instance-id").status == 200
    assert steered.do("tokens", "required") == "tokens required\n"
    assert read("/latest/meta-data/instance-id").status == 401
    assert steered.get("instance-id").status == 200
    assert steered.status()["tokens"] == "required" and changes(steered) == ["tokens required"]
    steered.do("tokens", "optional")
    assert read("/latest/meta-data/instance-id").status == 200


def test_the_endpoint_is_switched_off_and_on(steered):
    steered.do("endpoint", "disable")
    for answer in (steered.daemon.imds.get("/latest/meta-data/instance-id"), steered.daemon.imds.put()):
        assert (answer.status, answer.body) == (403, answer.body)
    assert steered.status()["endpoint"] == "disabled" and changes(steered) == ["endpoint disabled"]
    steered.do("endpoint", "enable")
    assert steered.get("instance-id").status == 200


def make_every_change(steered, *options: str):
    steered.do("set", "mine", "1", *options)
    steered.do("unset", "placement/region", *options)
    steered.do("tags", "set", "Stage", "live", *options)
    steered.do("user-data", "-", *options, input="data")
    steered.do("tokens", "required", *options)


def assert_every_change(steered, made: bool):
    seen = {
        "mine": steered.meta("mine") == "1",
        "region": steered.meta("placement/region") is None,
        "tag": steered.meta("tags/instance/Stage") == "live",
        "data": steered.get("/latest/user-data").status == 200,
        "tokens": steered.daemon.imds.get("/").status == 401,
    }
    assert set(seen.values()) == {made}, seen
    assert len(changes(steered)) == (5 if made else 0)


def test_changes_last_across_a_reload_until_a_reset(steer):
    steered = steer(TAGS)
    make_every_change(steered)
    assert_every_change(steered, True)
    steered.daemon.config.write_text(TAGS.replace("core", "platform"))
    assert steered.do("reload") == "reloaded\n"
    assert steered.meta("tags/instance/Team") == "platform", "what is configured is new"
    assert_every_change(steered, True)
    steered.do("reload", "--reset")
    assert_every_change(steered, False)


def test_a_reload_that_is_refused_changes_nothing(steer):
    steered = steer(TAGS)
    make_every_change(steered)
    steered.daemon.config.write_text("[instance]\nregoin = 1\n")
    for words in (("reload",), ("reload", "--reset")):
        assert "regoin" in steered.refused(*words)
    assert_every_change(steered, True)


def test_a_configuration_that_a_live_change_contradicts_is_refused(steer):
    steered = steer(TAGS)
    steered.do("set", "mine/below", "x")
    steered.daemon.config.write_text('[tree]\n"meta-data/mine" = "y"\n')
    assert "mine" in steered.refused("reload")
    assert (steered.meta("mine/below"), steered.meta("tags/instance/Team")) == ("x", "core")
    steered.do("reload", "--reset")
    assert steered.meta("mine") == "y"


def test_changes_are_gone_after_a_restart_unless_they_are_to_persist(steer):
    steered = steer(TAGS)
    make_every_change(steered)
    steered.daemon.restart()
    assert_every_change(steered, False)
    make_every_change(steered, "--persist")
    assert {change["kept-across-restart"] for change in steered.status()["changes"]} == {True}
    steered.daemon.restart()
    assert_every_change(steered, True)
    steered.do("set", "passing", "x")
    steered.do("unset", "mine")
    steered.daemon.restart()
    assert (steered.meta("passing"), steered.meta("mine")) == (None, None), "what was taken back stays taken back"
    steered.do("reload", "--reset")
    assert_every_change(steered, False)
    steered.daemon.restart()
    assert_every_change(steered, False)


def test_what_persists_is_the_owners_alone(steer):
    steered = steer(TAGS)
    steered.do("user-data", "-", "--persist", input="a password")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in steered.daemon.state.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert "a password" not in steered.daemon.log


def test_kept_changes_that_cannot_be_read_cost_a_line_in_the_log_and_not_the_service(steer):
    steered = steer()
    steered.do("set", "mine", "x", "--persist")
    (file,) = (file for file in steered.daemon.state.iterdir() if "changes" in file.name)
    assert steered.daemon.stop() == 0
    file.write_text("[")
    steered.daemon.start()
    assert str(file) in steered.daemon.wait_for_log("ERROR")
    assert steered.get("instance-id").status == 200


def test_a_kept_change_that_no_longer_fits_does_not_open_what_others_closed(steer):
    steered = steer(TAGS)
    steered.do("tokens", "required", "--persist")
    steered.do("tags", "set", "Name", "kept", "--persist")
    assert steered.daemon.stop() == 0
    steered.daemon.config.write_text('[instance]\ninstance-metadata-tags = "disabled"\n')
    steered.daemon.start()
    assert "tag Name: " in steered.daemon.wait_for_log("is not made")
    assert steered.daemon.imds.get("/latest/meta-data/instance-id").status == 401
    tokens, tag = steered.status()["changes"]
    assert (tokens["what"], tag["what"]) == ("tokens required", "tag Name = kept")
    assert "not-made" not in tokens and "instance-metadata-tags" in tag["not-made"]
    steered.do("set", "mine", "x", "--persist")
    assert steered.daemon.stop() == 0
    steered.daemon.config.write_text(TAGS)
    steered.daemon.start()
    assert (steered.meta("tags/instance/Name"), steered.meta("mine")) == ("kept", "x"), "it fits again"
    assert not any("not-made" in change for change in steered.status()["changes"])


def test_a_kept_change_that_does_not_fit_is_dropped_when_it_is_taken_back(steer):
    steered = steer(TAGS)
    steered.do("set", "mine/below", "x", "--persist")
    steered.do("tags", "set", "Stage", "kept", "--persist")
    assert steered.daemon.stop() == 0
    steered.daemon.config.write_text('[instance]\ninstance-metadata-tags = "disabled"\n[tree]\n"meta-data/mine" = "y"\n')
    steered.daemon.start()
    assert ["not-made" in change for change in steered.status()["changes"]] == [True, True]
    steered.do("unset", "--undo", "mine/below")
    steered.do("tags", "unset", "Stage")
    steered.daemon.restart()
    assert changes(steered) == [] and steered.meta("mine") == "y"


def test_a_change_that_cannot_be_kept_is_not_made(steer, tmp_path):
    if os.geteuid() == 0:
        # Root is stopped by no mode; by a folder in the file's place it is.
        steered = steer()
        (steered.daemon.state / "changes.json").mkdir()
    else:
        steered = steer()
        steered.daemon.state.chmod(0o500)
    result = steered.run("set", "mine", "x", "--persist")
    assert result.returncode == 1 and "changes.json" in result.stderr, result
    assert steered.meta("mine") is None and changes(steered) == []


def test_each_change_is_one_line_in_the_log_without_its_value(steered):
    steered.do("set", "password", "secret-1")
    steered.do("tags", "set", "Name", "secret-2")
    steered.do("user-data", "-", input="secret-3")
    line = steered.daemon.wait_for_log("user-data")
    assert "changed by command" in line
    assert "meta-data/password" in steered.daemon.log and "tag Name" in steered.daemon.log
    assert "secret-" not in steered.daemon.log


def test_an_event_shows_under_live_changes(steered):
    """What is set by hand stays, whatever events do; and what cannot be beside an event is refused."""
    steered.do("set", "instance-life-cycle", "scheduled")
    steered.add("event", "spot")
    assert steered.meta("instance-life-cycle") == "scheduled"
    assert "spot/instance-action" in steered.refused("set", "spot/instance-action/below", "x")
    steered.do("set", "spot/instance-action", '{"action": "stop"}')
    assert steered.json("spot/instance-action") == {"action": "stop"}
    steered.do("unset", "spot/instance-action")
    assert steered.json("spot/instance-action")["action"] == "terminate"
