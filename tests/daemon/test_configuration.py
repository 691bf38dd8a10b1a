"""Where a value comes from, and that everything derived from it agrees."""

import ipaddress
import json
import os
import re

from support.daemon import run

LEAF = "/latest/meta-data/"


def document(imds) -> dict:
    return json.loads(imds.text("/latest/dynamic/instance-identity/document"))


def test_flag_comes_before_environment_before_file_before_default(serve):
    file = '[instance]\ninstance-type = "m5.large"\nami-id = "ami-0123456789abcdef0"\nregion = "eu-west-1"\n'
    env = {"FAKE_METADATA_INSTANCE__INSTANCE_TYPE": "c5.large", "FAKE_METADATA_INSTANCE__AMI_ID": "ami-0123456789abcdef1"}
    imds = serve(file, env=env, args=("--set", "instance.instance-type=r5.large")).imds
    assert imds.meta("instance-type") == "r5.large"
    assert imds.meta("ami-id") == "ami-0123456789abcdef1"
    assert imds.meta("placement/region") == "eu-west-1"
    assert imds.meta("ami-launch-index") == "0"


def test_tokens_can_be_required_by_flag_and_by_environment(serve):
    assert serve(args=("--tokens", "required")).imds.get(LEAF).status == 401
    assert serve(env={"FAKE_METADATA_TOKENS": "required"}).imds.get(LEAF).status == 401


def test_the_environment_can_name_the_configuration(serve, tmp_path):
    (tmp_path / "other.toml").write_text('[instance]\ninstance-type = "m5.large"\n')
    imds = serve(env={"FAKE_METADATA_CONFIG": str(tmp_path / "other.toml")}).imds
    assert imds.meta("instance-type") == "m5.large"


def test_the_original_services_variables_set_the_public_names(serve):
    imds = serve(env={"EC2_LOCAL_HOSTNAME": "box.example.test", "EC2_LOCAL_IPV4": "192.0.2.7"}).imds
    assert imds.meta("public-hostname") == "box.example.test"
    assert imds.meta("public-ipv4") == "192.0.2.7"


def test_one_region_changes_everything_that_depends_on_it(serve):
    imds = serve('[instance]\nregion = "eu-west-1"\npublic-ipv4 = "192.0.2.54"\n').imds
    mac = imds.meta("mac")
    zone = imds.meta("placement/availability-zone")
    assert re.fullmatch("eu-west-1[a-z]", zone)
    assert imds.meta("placement/region") == "eu-west-1"
    assert imds.meta("placement/availability-zone-id").startswith("euw1-az")
    assert imds.meta("hostname").endswith(".eu-west-1.compute.internal")
    assert imds.meta("local-hostname") == imds.meta(f"network/interfaces/macs/{mac}/local-hostname") == imds.meta("hostname")
    assert imds.meta("public-hostname") == "ec2-192-0-2-54.eu-west-1.compute.amazonaws.com"
    assert document(imds)["region"] == "eu-west-1"
    assert document(imds)["availabilityZone"] == zone


def test_one_private_address_changes_everything_that_depends_on_it(serve):
    imds = serve('[instance]\nprivate-ipv4 = "10.9.8.7"\n').imds
    mac = imds.meta("mac")
    assert imds.meta("local-ipv4") == imds.meta(f"network/interfaces/macs/{mac}/local-ipv4s") == "10.9.8.7"
    assert imds.meta("hostname") == "ip-10-9-8-7.ec2.internal"
    assert document(imds)["privateIp"] == "10.9.8.7"
    for leaf in ("subnet-ipv4-cidr-block", "vpc-ipv4-cidr-block"):
        network = ipaddress.ip_network(imds.meta(f"network/interfaces/macs/{mac}/{leaf}"))
        assert ipaddress.ip_address("10.9.8.7") in network


def test_one_instance_id_and_account_are_everywhere(serve):
    imds = serve('[instance]\ninstance-id = "i-0abcdef1234567890"\naccount-id = "210987654321"\n').imds
    mac = imds.meta("mac")
    assert imds.meta("instance-id") == document(imds)["instanceId"] == "i-0abcdef1234567890"
    assert document(imds)["accountId"] == imds.meta(f"network/interfaces/macs/{mac}/owner-id") == "210987654321"
    assert ":210987654321:" in json.loads(imds.meta("iam/info"))["InstanceProfileArn"]
    assert json.loads(imds.meta("identity-credentials/ec2/info"))["AccountId"] == "210987654321"


def test_china_has_its_own_partition_and_domain(serve):
    imds = serve('[instance]\nregion = "cn-north-1"\n').imds
    assert imds.meta("services/partition") == "aws-cn"
    assert imds.meta("services/domain") == "amazonaws.com.cn"
    assert json.loads(imds.meta("iam/info"))["InstanceProfileArn"].startswith("arn:aws-cn:iam::")


def test_several_interfaces_with_every_kind_of_address(serve):
    imds = serve(
        """
        [[instance.interfaces]]
        device-number = 0
        mac = "0e:00:00:00:00:01"
        local-ipv4s = ["10.0.0.5", "10.0.0.6"]
        public-ipv4s = "192.0.2.9"
        ipv6s = ["2001:db8::5", "2001:db8::6"]
        ipv4-prefix = "10.0.0.16/28"
        ipv6-prefix = "2001:db8:0:1::/80"

        [[instance.interfaces]]
        device-number = 1
        network-card = 1
        mac = "0e:00:00:00:00:02"
        local-ipv4s = "10.0.1.5"
        """
    ).imds
    first, second = "network/interfaces/macs/0e:00:00:00:00:01", "network/interfaces/macs/0e:00:00:00:00:02"
    assert imds.meta("network/interfaces/macs/") == "0e:00:00:00:00:01/\n0e:00:00:00:00:02/"
    assert imds.meta(f"{first}/local-ipv4s") == "10.0.0.5\n10.0.0.6"
    assert imds.meta(f"{first}/public-ipv4s") == "192.0.2.9"
    assert imds.meta(f"{first}/ipv4-associations/") == "192.0.2.9"
    assert imds.meta(f"{first}/ipv4-associations/192.0.2.9") == "10.0.0.5"
    assert imds.meta(f"{first}/ipv6s") == "2001:db8::5\n2001:db8::6"
    assert imds.meta(f"{first}/ipv4-prefix") == "10.0.0.16/28"
    assert imds.meta(f"{first}/ipv6-prefix") == "2001:db8:0:1::/80"
    assert imds.meta(f"{second}/device-number") == imds.meta(f"{second}/network-card") == "1"
    assert (imds.meta("local-ipv4"), imds.meta("mac"), imds.meta("ipv6")) == ("10.0.0.5", "0e:00:00:00:00:01", "2001:db8::5")
    assert imds.get(f"{LEAF}{second}/public-ipv4s").status == 404
    assert imds.get(f"{LEAF}{second}/ipv6s").status == 404


def test_the_tree_table_adds_replaces_and_removes(serve):
    imds = serve(
        """
        [tree]
        "meta-data/extra/deep/leaf" = "added"
        "meta-data/instance-action" = "shutdown"
        "meta-data/system" = false
        "/2009-04-04/meta-data/only-here" = "old"
        """
    ).imds
    assert imds.meta("extra/deep/leaf") == "added"
    assert imds.meta("extra/") == "deep/"
    assert "extra/" in imds.meta("").split("\n")
    assert imds.text("/2016-09-02/meta-data/extra/deep/leaf") == "added"
    assert imds.meta("instance-action") == "shutdown"
    assert imds.get(f"{LEAF}system").status == 404
    assert "system" not in imds.meta("").split("\n")
    assert imds.text("/2009-04-04/meta-data/only-here") == "old"
    assert imds.get(f"{LEAF}only-here").status == 404


def test_a_role_has_the_name_it_is_given(serve):
    imds = serve('[roles."app+role=1,@-_"]\n').imds
    assert imds.meta("iam/security-credentials/") == "app+role=1,@-_"
    assert json.loads(imds.meta("iam/security-credentials/app+role=1,@-_"))["Code"] == "Success"
    assert imds.get(f"{LEAF}iam/security-credentials/BaseIAMRole").status == 404


def test_without_a_role_there_is_no_iam_but_an_identity(serve):
    imds = serve("[callers]\ndefault = false\n").imds
    assert "iam/" not in imds.meta("").split("\n")
    for path in ("iam/", "iam/info", "iam/security-credentials/", "iam/security-credentials/BaseIAMRole"):
        assert imds.get(LEAF + path).status == 404
    assert imds.meta("identity-credentials/ec2/security-credentials/") == "ec2-instance"


def test_a_variable_that_is_no_text_is_left_out(serve, binary):
    """As in a locale that is not UTF-8; and it does not hide the others."""
    env = {"FOO": os.fsdecode(b"\xff"), os.fsdecode(b"B\xe9"): "x", "FAKE_METADATA_INSTANCE__REGION": "eu-west-3"}
    daemon = serve(env=env)
    assert daemon.imds.meta("placement/region") == "eu-west-3"
    feed = ("role", "feed", "BaseIAMRole", "--once", "--profile", "nobodys", "--control", str(daemon.control))
    fed = run(binary, *feed, env=env)
    assert fed.returncode == 1 and "nobodys" in fed.stderr, fed
