"""Memory with many roles cached and the AWS SDK loaded, and that nothing of it is started where no role asks AWS."""

import json
from pathlib import Path

from support.daemon import run
from support.roles import served
from support.wait import until

ROLES = 200
# Below 32 MiB with 200 roles cached and the SDK loaded. A debug build has several times the code of a release in memory,
# so only what is not the program's file is compared. The whole is printed: FAKE_METADATA_BINARY names a release to see.
LIMIT_KIB = 32 * 1024


def threads(daemon) -> set[str]:
    return {Path(task, "comm").read_text().strip() for task in Path(f"/proc/{daemon.pid}/task").iterdir()}


def test_200_roles_are_kept_in_little_memory(aws, sts, capsys):
    roles = "".join(
        f'[roles.App{n}]\nsource = "assume-role"\nrole-arn = "arn:aws:iam::111122223333:role/App{n}"\n'
        for n in range(ROLES)
    )
    daemon = aws.daemon('[callers]\ndefault = "App7"\n' + roles, args=())

    def all_served() -> bool:
        status = run(daemon.binary, "role", "list", "--json", "--control", str(daemon.control))
        return all(role["serving"] for role in json.loads(status.stdout)["roles"])

    until(all_served, "every role is served", within=90, every=0.5)
    assert served(daemon, "App7")["Code"] == "Success"
    assert sts.actions() == ["AssumeRole"] * ROLES
    anonymous = daemon.memory("RssAnon")
    with capsys.disabled():
        print(f"\n{ROLES} roles: {daemon.memory('VmRSS')} KiB resident, {anonymous} KiB of it not the program's file")
    assert anonymous < LIMIT_KIB


def test_without_a_role_that_asks_anybody_nothing_is_started(serve):
    daemon = serve('[callers]\ndefault = "App"\n[roles.App]\n[roles.Fed]\nsource = "fed"\n')
    assert served(daemon)["Code"] == "Success"
    assert "outgoing" not in threads(daemon)


def test_with_one_it_is(aws):
    assert "outgoing" in threads(aws.daemon('[roles.App]\nsource = "static"\n'))
