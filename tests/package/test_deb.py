"""The package as a file: what is in it, where it installs, and that the same source gives the same bytes."""

import re
import subprocess
import tomllib

import pytest

MIB = 1024 * 1024
# Ubuntu 18.04's.
OLDEST_GLIBC = (2, 27)
PROGRAMS = (
    "usr/bin/fake-metadata",
    "usr/sbin/fake-metadata-setup",
    "usr/lib/fake-metadata/compat/ec2-metadata-mock",
)


def run(*argv) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def unpacked(deb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    run("dpkg-deb", "-R", deb, folder)
    return folder


def test_lintian_has_no_error_and_no_warning(deb):
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--profile", "debian", deb],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert done.returncode == 0, done.stdout
    assert not re.search(r"^[EW]:", done.stdout, re.M), done.stdout


def test_it_is_small(deb):
    assert deb.stat().st_size < 8 * MIB


def test_it_runs_on_an_old_glibc(unpacked):
    for program in PROGRAMS:
        symbols = re.findall(r"\(GLIBC_([0-9.]+)\)", run("objdump", "-T", unpacked / program))
        assert symbols
        newest = max(tuple(map(int, symbol.split("."))) for symbol in symbols)
        assert newest <= OLDEST_GLIBC, (program, newest)


def test_what_a_start_uses_lies_close_together(unpacked):
    """By crates/fake-metadata/build.rs: most of what crates/fake-metadata/hot-functions names is there (3 MiB)."""
    sections = run("readelf", "--sections", "--wide", unpacked / "usr/bin/fake-metadata")
    size = re.search(r" \.text\.hot +PROGBITS +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) ", sections)
    assert size and 2 * MIB < int(size[1], 16) < 5 * MIB, sections


def test_depends(deb):
    fields = run("dpkg-deb", "-f", deb)
    depends = re.search(r"^Depends: (.*)$", fields, re.M)[1].split(", ")
    assert [d for d in depends if d.startswith("libc6 ")] == ["libc6 (>= 2.17)"]
    assert "iptables" in depends
    assert "ca-certificates" in re.search(r"^Recommends: (.*)$", fields, re.M)[1].split(", ")
    assert run("dpkg", "--print-architecture").strip() == re.search(r"^Architecture: (.*)$", fields, re.M)[1]


def test_contents(unpacked):
    for path in (
        *PROGRAMS,
        "etc/fake-metadata/config.toml",
        "etc/default/fake-metadata",
        "etc/init.d/fake-metadata",
        "etc/logrotate.d/fake-metadata",
        "usr/lib/systemd/system/fake-metadata.service",
        "usr/lib/systemd/system/fake-metadata-network.service",
        "usr/lib/systemd/system/fake-metadata-network-again.service",
        "usr/lib/fake-metadata/supervisor",
        "usr/share/fake-metadata/daemontools/run",
        "usr/share/fake-metadata/daemontools/log/run",
        "usr/share/man/man1/fake-metadata.1.gz",
        "usr/share/man/man8/fake-metadata-setup.8.gz",
        "usr/share/bash-completion/completions/fake-metadata",
        "usr/share/bash-completion/completions/fake-metadata-setup",
        "usr/share/zsh/vendor-completions/_fake-metadata",
        "usr/share/fish/vendor_completions.d/fake-metadata-setup.fish",
        "usr/share/doc/fake-metadata/aemm.md",
        "usr/share/doc/fake-metadata/copyright",
        "usr/share/doc/fake-metadata/changelog.Debian.gz",
    ):
        assert (unpacked / path).stat().st_size > 0, path
    conffiles = (unpacked / "DEBIAN/conffiles").read_text().split()
    assert sorted(conffiles) == sorted(f"/{p.relative_to(unpacked)}" for p in unpacked.glob("etc/**/*") if p.is_file())


def test_the_man_page_names_every_command(unpacked):
    page = run("man", "-l", "-P", "cat", unpacked / "usr/share/man/man8/fake-metadata-setup.8.gz")
    for command in ("apply", "remove", "status", "plan"):
        assert re.search(rf"\b{command}\b", page)


def test_the_stand_in_for_aemm_runs_where_it_is_linked(unpacked, tmp_path):
    link = tmp_path / "ec2-metadata-mock"
    link.symlink_to(unpacked / PROGRAMS[2])
    assert run(link, "--version") == "v1.13.0\n"
    assert "asglifecycle" in run(link, "--help")


def test_the_completions_load(unpacked):
    for program in ("fake-metadata", "fake-metadata-setup"):
        file = unpacked / "usr/share/bash-completion/completions" / program
        assert program in run("bash", "-c", f"source {file}; complete -p {program}")


def test_the_version_is_the_newest_of_the_changelogs(deb, checkout):
    version = tomllib.loads((checkout / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert run("dpkg-deb", "-f", deb, "Version").strip() == f"{version}-1"
    assert run("dpkg-parsechangelog", "-l", checkout / "debian/changelog", "-S", "Version").strip() == f"{version}-1"


def test_no_path_of_the_machine_that_built_it(unpacked, checkout):
    for program in PROGRAMS:
        binary = (unpacked / program).read_bytes()
        assert str(checkout).encode() not in binary
        assert b"/.cargo/registry" not in binary


def network_in_force(text: str) -> str:
    """The shipped configuration with every example of [network] in force: those are the lines with one # and no space."""
    before, table, after = text.partition("[network]\n")
    ours, header, others = after.partition("\n[")
    return before + table + re.sub(r"^#(?=[^ \n])", "", ours, flags=re.M) + header + others


@pytest.mark.parametrize("change", [str, network_in_force])
def test_the_shipped_configuration_is_accepted(unpacked, tmp_path, change):
    """By both programs. The daemon's tests take every other example in turn: several exclude each other."""
    config = tmp_path / "config.toml"
    config.write_text(change((unpacked / "etc/fake-metadata/config.toml").read_text()))
    run(unpacked / PROGRAMS[0], "check", config)
    # `plan` reads the host too; an error of the configuration comes first, with a code of its own.
    planned = subprocess.run(
        [unpacked / PROGRAMS[1], "plan", "--config", config], stderr=subprocess.STDOUT, stdout=subprocess.PIPE
    )
    assert planned.returncode != 78, planned.stdout


def test_the_same_source_gives_the_same_package(deb, built_elsewhere):
    assert deb.read_bytes() == built_elsewhere.read_bytes()
