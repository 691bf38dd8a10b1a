"""`import aemm`: a configuration of ec2-metadata-mock, served by the daemon."""

import json

from support.daemon import run

CONFIGURATION = {
    "metadata": {
        "paths": {"ramdisk-id": "/latest/meta-data/ram", "ipv4-associations": "/latest/nobody/reads/this"},
        "values": {"mac": "0e:49:61:0f:c3:77", "public-ipv4": "54.92.157.77", "instance-type": "m5.large"},
    },
    "dynamic": {"values": {"instance-identity-document": {"accountId": "9876543210", "instanceId": "i-0fedcba0987654321"}}},
    "userdata": {"values": {"userdata": "MTIzNAo="}},
    "spot": {"action": "stop"},
    "imdsv2": True,
    "server": {"hostname": "localhost", "port": "0"},
}


def test_what_was_asked_for_is_served(binary, serve, tmp_path):
    source, made = tmp_path / "aemm-config.json", tmp_path / "config.toml"
    source.write_text(json.dumps(CONFIGURATION))
    result = run(binary, "import", "aemm", str(source), "-o", str(made))
    assert (result.returncode, result.stdout) == (0, "")
    unknown = "metadata.paths.ipv4-associations: nothing here is like it"
    assert f"aemm-config.json: {unknown}\n" in result.stderr
    assert f"# - {unknown}\n" in made.read_text()
    assert run(binary, "check", str(made)).returncode == 0
    imds = serve(made.read_text()).imds
    assert imds.get("/latest/meta-data/mac").status == 401
    assert imds.meta("mac") == "0e:49:61:0f:c3:77"
    assert imds.meta("ram") == "ari-01bb5768"
    assert imds.meta("instance-type") == "m5.large"
    assert imds.meta("public-ipv4") == "54.92.157.77"
    assert json.loads(imds.meta("spot/instance-action"))["action"] == "stop"
    document = json.loads(imds.text("/latest/dynamic/instance-identity/document"))
    assert (document["accountId"], document["instanceId"]) == ("9876543210", "i-0fedcba0987654321")
    assert imds.meta("instance-id") == "i-0fedcba0987654321"
    assert imds.text("/latest/user-data") == "1234\n"


def test_the_result_goes_to_standard_output_unless_told(binary, tmp_path):
    (tmp_path / "a.yaml").write_text("imdsv2: true\n")
    result = run(binary, "import", "aemm", "a.yaml", cwd=tmp_path)
    assert result.returncode == 0
    assert 'tokens = "required"\n' in result.stdout


def test_what_cannot_be_imported_is_said(binary, tmp_path):
    result = run(binary, "import", "aemm", str(tmp_path / "absent.json"))
    assert result.returncode == 1 and "absent.json: " in result.stderr
    (tmp_path / "wrong.json").write_text('{"spot": {"action": "explode"}}')
    result = run(binary, "import", "aemm", "wrong.json", cwd=tmp_path)
    assert result.returncode == 1
    assert 'wrong.json: Invalid CLI input "explode" for flag action. Allowed value(s): terminate,hibernate,stop.' in result.stderr
    assert run(binary, "import", "other", "wrong.json", cwd=tmp_path).returncode == 2
