"""`fake-metadata role ...` on a running daemon."""

import json

import pytest

from support.daemon import run
from support.roles import ROLE, command as role, credentials, served, shown, stamp
from support.wait import until

CONFIG = """
[callers]
default = "First"
[roles.First]
[roles.Second]
[roles.Given]
source = "fed"
[roles.File]
source = "file"
file = "{file}"
"""


@pytest.fixture
def daemon(serve, tmp_path):
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(credentials("FILE1")))
    daemon = serve(CONFIG.format(file=file))
    daemon.file = file
    return daemon


def test_list_names_every_role_and_marks_the_default(daemon):
    lines = role(daemon, "list").splitlines()
    assert [line[:8].split() for line in lines] == [["File"], ["*", "First"], ["Given"], ["Second"]]
    assert "good for" in lines[1] and "nothing to serve" in lines[2]


def test_list_and_show_tell_who_asked_last_and_no_key(daemon):
    document = served(daemon, "First")
    secrets = [document[key] for key in ("SecretAccessKey", "Token", "AccessKeyId")]
    for args in (["list"], ["list", "--json"], ["show", "First"], ["show", "First", "--json"]):
        out = role(daemon, *args)
        assert not any(secret in out for secret in secrets), args
    first = shown(daemon, "First")
    assert first["asked-by"].startswith("127.0.0.1:") and first["default"] is True
    assert first["expiration"] == document["Expiration"] and first["last-updated"] == document["LastUpdated"]
    assert 0 <= first["age"] <= 3600
    assert shown(daemon, "Second")["asked-by"] is None


def test_status_shows_the_same_of_every_role(daemon):
    served(daemon, "First")
    status = json.loads(
        run(daemon.binary, "status", "--json", "--control", str(daemon.control)).stdout
    )
    of_status = {entry["role"]: entry for entry in status["roles"]}
    first = shown(daemon, "First")
    assert {**of_status["First"], "default": True, "age": first["age"]} == first


def test_use_switches_the_default_role_at_once(daemon):
    assert daemon.imds.text(ROLE) == "First"
    assert role(daemon, "use", "Second") == "default role Second\n"
    assert daemon.imds.text(ROLE) == "Second"
    assert daemon.imds.get(ROLE + "First", daemon.imds.token()).status == 404


def test_use_stays_across_a_reload_and_goes_with_reset(daemon):
    role(daemon, "use", "Second")
    control = ["--control", str(daemon.control)]
    assert run(daemon.binary, "reload", *control).returncode == 0
    assert daemon.imds.text(ROLE) == "Second"
    assert run(daemon.binary, "reload", "--reset", *control).returncode == 0
    assert daemon.imds.text(ROLE) == "First"


def test_use_goes_with_a_restart_unless_it_is_to_persist(daemon):
    role(daemon, "use", "Second")
    daemon.restart()
    assert daemon.imds.text(ROLE) == "First"
    role(daemon, "use", "Second", "--persist")
    daemon.restart()
    assert daemon.imds.text(ROLE) == "Second"


def test_use_of_no_role_and_of_the_configured_one_again(daemon):
    assert role(daemon, "use", "--none") == "no default role\n"
    assert daemon.imds.get("/latest/meta-data/iam/", daemon.imds.token()).status == 404
    assert role(daemon, "use", "--undo") == "default role First, as configured\n"
    assert daemon.imds.text(ROLE) == "First"
    assert "no command has chosen a default role" in role(daemon, "use", "--undo", code=2)


def test_a_reload_that_takes_the_chosen_role_away_is_refused(daemon):
    role(daemon, "use", "Second")
    daemon.config.write_text(daemon.config.read_text().replace("[roles.Second]\n", ""))
    refused = run(daemon.binary, "reload", "--control", str(daemon.control))
    assert refused.returncode != 0 and "role use --undo" in refused.stderr
    assert daemon.imds.text(ROLE) == "Second"
    role(daemon, "use", "--undo")
    assert run(daemon.binary, "reload", "--control", str(daemon.control)).returncode == 0


@pytest.mark.parametrize("command", ["show", "use", "refresh", "expire"])
def test_a_role_that_is_not_there_is_wrong_usage(daemon, command):
    error = role(daemon, command, "Nobody", code=2)
    assert "Nobody" in error and "role list" in error and len(error.splitlines()) == 1


def test_refresh_asks_the_source_and_tells_what_came_of_it(daemon):
    assert role(daemon, "refresh", "File").startswith("File: good for ")
    before = shown(daemon, "File")["attempts"]
    role(daemon, "refresh", "File")
    assert shown(daemon, "File")["attempts"] == before + 1
    daemon.file.write_text("{")
    result = run(daemon.binary, "role", "refresh", "File", "--control", str(daemon.control))
    assert result.returncode == 1
    assert "failing" in result.stdout and str(daemon.file) in result.stdout


def test_refresh_of_all_roles(daemon):
    out = role(daemon, "refresh")
    assert [line.split(":")[0] for line in sorted(out.splitlines())] == ["File", "First", "Given", "Second"]


def test_expire_has_the_next_answer_come_from_the_source(daemon):
    before = served(daemon, "First")["AccessKeyId"]
    until(lambda: role(daemon, "expire", "First") and served(daemon, "First")["AccessKeyId"] != before, "other keys")


@pytest.mark.parametrize("form", ["metadata", "process", "sts"])
def test_feed_of_a_file_serves_what_it_holds(daemon, form):
    name = f"FED{form.upper()}"
    given = credentials(name, form=form)
    assert role(daemon, "feed", "Given", "--file", "-", input=json.dumps(given)).startswith("Given: good for ")
    role(daemon, "use", "Given")
    document = served(daemon, "Given")
    assert document["AccessKeyId"] == credentials(name)["AccessKeyId"]
    assert document["Token"] == credentials(name)["Token"]
    status = shown(daemon, "Given")
    assert (status["fed"], status["serving"], status["source"]) == (True, True, "fed")


def test_feed_comes_before_the_roles_own_source_until_it_is_dropped(daemon, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(credentials("MINE")))
    own = served(daemon, "First")["AccessKeyId"]
    role(daemon, "feed", "First", "--file", str(file))
    assert served(daemon, "First")["AccessKeyId"] == credentials("MINE")["AccessKeyId"]
    role(daemon, "expire", "First")
    assert served(daemon, "First")["AccessKeyId"][:8] == own[:8] == "ASIAFAKE"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (credentials("X", expires=stamp(-60)), "expired"),
        ({key: value for key, value in credentials("X").items() if key != "SecretAccessKey"}, "SecretAccessKey"),
        ({**credentials("X", form="process"), "Expiration": None}, "no expiration"),
        ({**credentials("X"), "SecretAccessKey": "s3cret \u00e9"}, "SecretAccessKey"),
    ],
    ids=["expired", "no secret", "without end", "bad characters"],
)
def test_feed_refuses_what_is_of_no_use_and_quotes_nothing(daemon, document, problem):
    error = role(daemon, "feed", "Given", "--file", "-", input=json.dumps(document), code=2)
    assert problem in error
    assert len(error.splitlines()) == 1
    for secret in (document.get("SecretAccessKey"), document.get("Token"), document.get("SessionToken")):
        assert not secret or secret not in error + daemon.log
    assert shown(daemon, "Given")["serving"] is False


def test_a_feed_of_garbage_is_refused_without_quoting_it(daemon):
    error = role(daemon, "feed", "Given", "--file", "-", input="top secret", code=2)
    assert "not JSON" in error and "secret" not in error


def test_without_a_daemon_the_error_says_so(binary, tmp_path):
    result = run(binary, "role", "list", "--control", str(tmp_path / "none.sock"))
    assert result.returncode == 1
    assert "is it running?" in result.stderr


KEYS = """
[callers]
default = "Prof"
[roles.Prof]
source = "static"
profile = "work"
[aws]
credentials-file = "{file}"
"""


@pytest.fixture
def profiles(serve, tmp_path):
    """A daemon whose default role serves the keys of a profile; there is another one, `temp`."""
    file = tmp_path / "credentials"
    keys = [f"[{name}]\naws_access_key_id = AKIA{name.upper():0>16}\naws_secret_access_key = secret\n" for name in ("work", "temp")]
    file.write_text("".join(keys))
    return serve(KEYS.format(file=file))


def test_a_choice_that_cannot_be_kept_changes_nothing(profiles):
    daemon = profiles
    work = served(daemon, "Prof")["AccessKeyId"]
    assert work.endswith("WORK")
    changes = daemon.state / "changes.json"
    changes.mkdir()  # what nobody can write or remove as a file, root least of all
    assert "changes.json" in role(daemon, "use", "Prof", "--profile", "temp", "--persist", code=1)
    assert served(daemon, "Prof")["AccessKeyId"] == work
    changes.rmdir()
    role(daemon, "use", "Prof", "--profile", "temp", "--persist")
    temp = served(daemon, "Prof")["AccessKeyId"]
    assert temp.endswith("TEMP")
    changes.unlink()
    changes.mkdir()
    reset = run(daemon.binary, "reload", "--reset", "--control", str(daemon.control))
    assert reset.returncode == 1 and "changes.json" in reset.stderr, reset
    assert served(daemon, "Prof")["AccessKeyId"] == temp
    status = json.loads(run(daemon.binary, "status", "--json", "--control", str(daemon.control)).stdout)
    assert [change["kept-across-restart"] for change in status["changes"]] == [True, True]


def test_a_profile_that_yields_nothing_is_told_at_once(profiles):
    daemon = profiles
    assert role(daemon, "use", "--profile", "temp") == "role Prof by profile temp\nProf: does not expire\n"
    told = run(daemon.binary, "role", "use", "--profile", "tmep", "--control", str(daemon.control))
    assert told.returncode == 1, told
    assert told.stdout.splitlines()[1].startswith("Prof: nothing to serve, ") and "tmep" in told.stdout
    assert "fake-metadata role use --undo takes the choice back" in told.stderr
    role(daemon, "use", "--undo")
    assert served(daemon, "Prof")["AccessKeyId"].endswith("WORK")
