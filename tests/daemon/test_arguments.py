"""Every wrong argument of every command: exit 2 and one line that says what is allowed.

The commands are those the program itself lists (`generate arguments`), and what is not in the tables below is an error:
a new command, or an option with a new kind of value, cannot be forgotten here.
"""

import json
import re

import pytest

from support.daemon import run

# Values of each kind that are refused, by the name the value has in the help.
WRONG = {
    "ADDRESS:PORT": ["nowhere", "127.0.0.1", "127.0.0.1:70000", "localhost:80"],
    "ADDRESS|ROLE": ["", "10.0.0.300", "10.0.0.0/8", "two words"],
    "CODE": ["", "Success", "two words"],
    "DURATION": ["", "90", "-5s", "1.5s", "soon"],
    "EVENT": ["", "explode", "spot --soon", "spot --in", "spot '"],
    "GLOB": [""],
    "KEY=VALUE": ["", "word", "=value", "instance.regoin=x", "tokens=maybe"],
    "N": ["", "0", "-1", "some"],
    "SHARE": ["", "0", "-0.3", "1.1", "NaN", "some"],
    "STATUS": ["", "200", "418", "-503", "some"],
    "TIME": ["", "soon", "25:00", "2026-02-30T00:00:00Z", "2020-01-01T00:00:00Z", "-2m"],
    "URL": ["", "127.0.0.1", "https://127.0.0.1", "http://127.0.0.1/latest"],
    "VERSION": ["", "2009-04-05"],
    "VERSIONS": ["", "soon", "latest,", "2021-3-23", "../x"],
}
# Any text is one, or (files, folders, sockets) it depends on the machine.
FREE = {"COMMAND", "DIR", "FILE", "ID", "KEY", "KEY VALUE", "NAME", "PATH", "PATH VALUE", "PROFILE", "SOCKET"}
FREE |= {"SUBCOMMAND", "TEXT"}
# What a command is given where it needs something.
GIVEN = {
    "CODE": ["InternalError"],
    "COMMAND": ["--", "true"],
    "DURATION": ["1s"],
    "FILE": ["/dev/null"],
    "KEY": ["key"],
    "KEY VALUE": ["key", "value"],
    "N": ["5"],
    "NAME": ["App"],
    "PATH": ["path"],
    "PATH VALUE": ["path", "value"],
    "STATUS": ["503"],
}
# Commands that ask no daemon, or something else before it; the others end with 1 when none is there.
ALONE = {"serve", "run", "check", "get", "record", "tree", "identity certificate", "generate", "import aemm"}
ALONE |= {"role feed", "role login"}


@pytest.fixture(scope="module")
def commands(binary) -> list[dict]:
    found = json.loads(run(binary, "generate", "arguments").stdout)
    names = {" ".join(command["words"]) for command in found}
    assert {"serve", "event maintenance", "fault add throttle", "tags unset", "set"} <= names
    return found


@pytest.fixture
def refused(binary, tmp_path):
    """Runs a command that must be refused, without any daemon, and returns its one line."""

    def check(*argv: str) -> str:
        result = run(binary, *argv, cwd=tmp_path, env=away(tmp_path))
        assert (result.returncode, result.stdout) == (2, ""), (argv, result)
        assert result.stderr.startswith("fake-metadata: ") and result.stderr.count("\n") == 1, (argv, result.stderr)
        return result.stderr

    return check


def away(tmp_path) -> dict[str, str]:
    return {"FAKE_METADATA_CONTROL": str(tmp_path / "none.sock"), "FAKE_METADATA_STATE_DIR": str(tmp_path / "state")}


def needed(command: dict) -> list[str]:
    """Arguments with which the command is complete."""
    argv = []
    for argument in command["positional"]:
        # Needed unless an option takes its place, which the definition does not tell.
        if argument["required"] or command["words"] in (["user-data"], ["role", "use"]):
            argv += argument["values"][:1] or GIVEN[argument["value"][0]]
    return argv


def in_front(command: dict, *more: str) -> list[str]:
    """The command with more arguments before those it needs (after `--` everything is somebody else's)."""
    return [*command["words"], *more, *needed(command)]


def wrong_values(argument: dict) -> list[str]:
    if argument["values"]:
        return ["", "no-such-value"]
    (kind,) = set(argument["value"])
    assert kind in WRONG or kind in FREE, f"say in this file what is wrong for a {kind}"
    return WRONG.get(kind, [])


def test_without_a_daemon_the_commands_of_a_daemon_fail_for_no_other_reason(binary, commands, tmp_path):
    """So that nothing below is refused because of what `needed` gives."""
    for command in commands:
        if " ".join(command["words"]) in ALONE or command["words"][:2] == ["event", "script"]:
            continue
        result = run(binary, *in_front(command), cwd=tmp_path, env=away(tmp_path))
        assert result.returncode == 1 and "none.sock" in result.stderr, (command["words"], result)


def test_an_unknown_option_is_refused_with_the_known_ones(commands, refused):
    for command in commands:
        line = refused(*in_front(command, "--no-such-option"))
        assert "--no-such-option" in line
        options = [f"--{option['option']}" for option in command["options"]]
        assert f"fake-metadata {' '.join(command['words'])} takes {', '.join(options)}" in line, line


def test_an_option_without_its_value_is_refused_with_what_it_needs(commands, refused):
    for command in commands:
        for option in command["options"]:
            if option["takes-value"]:
                line = refused(*command["words"], f"--{option['option']}")
                assert f"--{option['option']} <{option['value'][0]}>" in line
                assert line.partition(" none was supplied")[2].strip(": \n"), line
                assert all(value in line for value in option["values"]), line


def test_a_value_where_none_belongs_is_refused(commands, refused):
    for command in commands:
        for option in command["options"]:
            if not option["takes-value"] and option["option"] not in ("help", "version"):
                assert f"--{option['option']}" in refused(*in_front(command, f"--{option['option']}=value"))


def test_a_wrong_value_of_an_option_is_refused_with_what_is_right(commands, refused):
    for command in commands:
        for option in command["options"]:
            for value in wrong_values(option) if option["takes-value"] else []:
                line = refused(*in_front(command, f"--{option['option']}={value}"))
                assert all(right in line for right in option["values"]), line


def test_a_wrong_positional_argument_is_refused_with_what_is_right(commands, refused):
    for command in commands:
        first = command["positional"][:1]
        for argument in first:
            for value in wrong_values(argument):
                line = refused(*command["words"], value)
                assert all(right in line for right in argument["values"]), line


def test_a_missing_positional_argument_is_refused_with_the_usage(commands, refused):
    for command in commands:
        if needed(command):
            line = refused(*command["words"])
            name = command["positional"][0]["value"][0]
            assert f"usage: fake-metadata {' '.join(command['words'])}" in line and name in line, line
            assert all(value in line for value in command["positional"][0]["values"]), line


def test_a_superfluous_argument_is_refused_with_the_usage(commands, refused):
    for command in commands:
        if any(argument["most"] is None for argument in command["positional"]):
            continue  # takes as many as are given
        given = needed(command)
        given += ["word"] * (len(command["positional"]) - len(given))
        assert "'superfluous'" in refused(*command["words"], *given, "superfluous")


def test_half_a_pair_is_refused(refused):
    for words in (("set",), ("tags", "set")):
        assert "2 values required" in refused(*words, "one")
        assert "exists: '--persist')" in refused(*words, "key", "--persit"), "a misspelt option is no value"
        assert '"three" has no value' in refused(*words, "one", "two", "three")


@pytest.mark.parametrize("words", [(), ("event",), ("fault",), ("fault", "add"), ("tags",), ("identity",)], ids=" ".join)
def test_an_unknown_subcommand_is_refused_with_the_known_ones(binary, commands, refused, words):
    line = refused(*words, "no-such-command")
    names = {command["words"][len(words)] for command in commands if tuple(command["words"][: len(words)]) == words}
    assert all(name in line for name in names - {"generate"}), line
    without = run(binary, *words)
    assert without.returncode == 2 and all(name in without.stderr for name in names - {"generate"}), without


@pytest.mark.parametrize(
    "argv",
    [
        "event spot --in 2m --at 18:30",
        "event maintenance --completed 2d --canceled 2d",
        "event maintenance --not-before 2h --not-after 1h",
        "event maintenance --not-before 2h --not-after 2h",
        "event maintenance --not-before 2h --deadline 1h",
        "event maintenance --not-before 1h --in 2h",
        "event maintenance --not-before 2h --completed 1h",
        "event maintenance --in 2h --not-before 3h --canceled 1h",
        "event maintenance --not-before 1h --not-after 2h --completed 3h",
        "event maintenance --event-id a_b",
        "event spot --in 18:30",
        "fault add hang --for 30s --times 2",
        "fault add hang --for 0s",
        "fault add delay 0s",
        "fault add delay 11m",
        "fault add throttle 5 --status 404",
        "fault add forget-tokens --times 2",
        "unset a --undo --persist",
        "user-data --none /dev/null",
        "user-data /nonexistent",
        "set a/../b value",
        "set a//b value",
        "set / value",
        "unset a//b",
        "generate man no-such-command",
    ],
)
def test_arguments_that_contradict_each_other_or_make_no_sense_are_refused(refused, argv):
    refused(*argv.split())


def test_the_man_page_has_every_command_with_its_options(binary, commands):
    page = re.sub(r"\\f[BIRP]", "", run(binary, "generate", "man").stdout.replace("\\-", "-"))
    _, *parts = re.split(r'^\.SS "?(fake-metadata [^"\n]+)"?$', page, flags=re.M)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert {"fake-metadata serve", "fake-metadata role feed"} <= sections.keys()
    for command in commands:
        # Hidden: it is for the package's build.
        if command["words"] == ["generate"]:
            continue
        section = sections[" ".join(["fake-metadata", *command["words"]])]
        for option in command["options"]:
            if option["option"] not in ("help", "version"):
                assert re.search(rf"--{option['option']}\b", section), (command["words"], option)
        for argument in command["positional"]:
            assert all(value in section for value in argument["value"]), (command["words"], argument)
