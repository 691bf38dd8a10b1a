//! What AEMM serves when nothing is said, and where: the values that its users' scripts compare with.
//!
//! Source: AEMM's `aemm-metadata-default-values.json` and `docs/defaults.md` of 1.13. Credentials, signatures and
//! account are AEMM's made-up ones.

use serde_json::{Value, json};

/// Where meta-data lies.
pub const META_DATA: &str = "/latest/meta-data";
/// Where dynamic data lies.
pub const DYNAMIC: &str = "/latest/dynamic";
/// Where user data lies.
pub const USER_DATA: &str = "/latest/user-data";

/// One thing AEMM serves, by the key that names its path and its value in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The key in `paths` and `values`.
    pub key: &'static str,
    /// The path below [`META_DATA`] or [`DYNAMIC`].
    pub path: &'static str,
    /// The value; `""` for those made from JSON, see [`document`].
    pub value: &'static str,
}

const fn entry(key: &'static str, path: &'static str, value: &'static str) -> Entry {
    Entry { key, path, value }
}

/// The MAC address in the paths below `network/interfaces/macs`.
pub const MAC: &str = "0e:49:61:0f:c3:11";
const HOSTNAME: &str = "ip-172-16-34-43.ec2.internal";
const PUBLIC_HOSTNAME: &str = "ec2-192-0-2-54.compute-1.amazonaws.com";
const SECURITY_GROUP: &str = "ura-launch-wizard-harry-1";
const ACCELERATOR: &str = "eia-bfa21c7904f64a82a21b9f4540169ce1";
const ROLE: &str = "baskinc-role";

/// Meta-data that is there under every command.
pub const STATIC: &[Entry] = &[
    entry("ami-id", "ami-id", "ami-0a887e401f7654935"),
    entry("ami-launch-index", "ami-launch-index", "0"),
    entry("ami-manifest-path", "ami-manifest-path", "(unknown)"),
    entry("block-device-mapping-ami", "block-device-mapping/ami", "/dev/xvda"),
    entry("block-device-mapping-ebs", "block-device-mapping/ebs0", "sdb"),
    entry("block-device-mapping-ephemeral", "block-device-mapping/ephemeral0", "sdb"),
    entry("block-device-mapping-root", "block-device-mapping/root", "/dev/xvda"),
    entry("block-device-mapping-swap", "block-device-mapping/swap", "sdcs"),
    entry(
        "elastic-inference-accelerator",
        "elastic-inference/associations/eia-bfa21c7904f64a82a21b9f4540169ce1",
        "",
    ),
    entry("elastic-inference-associations", "elastic-inference/associations", ACCELERATOR),
    entry("hostname", "hostname", HOSTNAME),
    entry("iam-info", "iam/info", ""),
    entry("iam-security-credentials-role", "iam/security-credentials", ROLE),
    entry("iam-security-credentials", "iam/security-credentials/baskinc-role", ""),
    entry("instance-action", "instance-action", "none"),
    entry("instance-id", "instance-id", "i-1234567890abcdef0"),
    entry("instance-life-cycle", "instance-life-cycle", "on-demand"),
    entry("instance-type", "instance-type", "m4.xlarge"),
    entry("kernel-id", "kernel-id", "aki-5c21674b"),
    entry("local-hostname", "local-hostname", HOSTNAME),
    entry("local-ipv4", "local-ipv4", "172.16.34.43"),
    entry("mac", "mac", MAC),
    mac("mac-device-number", "device-number", "0"),
    mac("mac-network-interface-id", "interface-id", "eni-0f95d3625f5c521cc"),
    mac("mac-network-interface-card-index", "network-card-index", "0"),
    mac("mac-ipv4-associations", "ipv4-associations/192.0.2.54", "192.0.2.54"),
    mac("mac-ipv6-associations", "ipv6s", "2001:db8:8:4::2"),
    mac("mac-local-hostname", "local-hostname", HOSTNAME),
    mac("mac-local-ipv4s", "local-ipv4s", "172.16.34.43"),
    mac("mac-mac", "mac", MAC),
    mac("mac-owner-id", "owner-id", "515336597381"),
    mac("mac-public-hostname", "public-hostname", PUBLIC_HOSTNAME),
    mac("mac-public-ipv4s", "public-ipv4s", "192.0.2.54"),
    mac("mac-security-groups", "security-groups", SECURITY_GROUP),
    mac("mac-security-group-ids", "security-group-ids", "sg-0b07f8f6cb485d4df"),
    mac("mac-subnet-id", "subnet-id", "subnet-0ac62554"),
    mac("mac-subnet-ipv4-cidr-block", "subnet-ipv4-cidr-block", "192.0.2.0/24"),
    mac("mac-subnet-ipv6-cidr-blocks", "subnet-ipv6-cidr-blocks", "2001:db8::/32"),
    mac("mac-vpc-id", "vpc-id", "vpc-d295a6a7"),
    mac("mac-vpc-ipv4-cidr-block", "vpc-ipv4-cidr-block", "192.0.2.0/24"),
    mac("mac-vpc-ipv4-cidr-blocks", "vpc-ipv4-cidr-blocks", "192.0.2.0/24"),
    mac("mac-vpc-ipv6-cidr-blocks", "vpc-ipv6-cidr-blocks", "2001:db8::/32"),
    entry("placement-availability-zone", "placement/availability-zone", "us-east-1a"),
    entry("placement-availability-zone-id", "placement/availability-zone-id", "use1-az4"),
    entry("placement-group-name", "placement/group-name", "a-placement-group"),
    entry("placement-host-id", "placement/host-id", "h-0da999999f9999fb9"),
    entry("placement-partition-number", "placement/partition-number", "1"),
    entry("placement-region", "placement/region", "us-east-1"),
    entry("product-codes", "product-codes", "3iplms73etrdhxdepv72l6ywj"),
    entry("public-hostname", "public-hostname", PUBLIC_HOSTNAME),
    entry("public-ipv4", "public-ipv4", "192.0.2.54"),
    entry("public-key", "public-keys/0/openssh-key", PUBLIC_KEY),
    entry("ramdisk-id", "ramdisk-id", "ari-01bb5768"),
    entry("reservation-id", "reservation-id", "r-046cb3eca3e201d2f"),
    entry("security-groups", "security-groups", SECURITY_GROUP),
    entry("services-domain", "services/domain", "amazonaws.com"),
    entry("services-partition", "services/partition", "aws"),
    entry("tags-instance-name", "tags/instance/Name", "test-instance"),
    entry("tags-instance-test", "tags/instance/Test", "test-tag"),
];

/// A leaf of the one network interface. The folder is put before it by [`Entry::default_path`].
const fn mac(key: &'static str, leaf: &'static str, value: &'static str) -> Entry {
    Entry { key, path: leaf, value }
}

/// Meta-data that is there under some commands: no value in the configuration, an answer of its own.
pub const CONDITIONAL: &[Entry] = &[
    entry("events", "events/maintenance/scheduled", ""),
    entry("rebalance-rec-time", "events/recommendations/rebalance", ""),
    entry("spot", "spot/instance-action", ""),
    entry("spot-termination-time", "spot/termination-time", ""),
    entry("target-lifecycle-state", "autoscaling/target-lifecycle-state", ""),
];

/// Dynamic data, under every command.
pub const DYNAMIC_DATA: &[Entry] = &[
    entry("instance-identity-document", "instance-identity/document", ""),
    entry("instance-identity-pkcs", "instance-identity/pkcs7", PKCS7),
    entry("instance-identity-signature", "instance-identity/signature", SIGNATURE),
    entry("fws-instance-monitoring", "fws/instance-monitoring", "disabled"),
];

/// The id of the maintenance event.
pub const EVENT_ID: &str = "instance-event-1234567890abcdef0";

/// User data, in base64 as AEMM's configuration holds it.
pub const USER_DATA_BASE64: &str = "MTIzNCxqb2huLHJlYm9vdCx0cnVlCg==";

/// Values that stand in paths: when the value is set otherwise, every path that holds it follows.
pub const PLACEHOLDERS: &[(&str, &str, &[&str])] = &[
    ("mac", MAC, &["mac-"]),
    ("public-ipv4", "192.0.2.54", &["mac-ipv4-associations"]),
    ("iam-security-credentials-role", ROLE, &["iam-security-credentials"]),
    ("elastic-inference-associations", ACCELERATOR, &["elastic-inference-accelerator"]),
];

impl Entry {
    /// The whole path where nothing else is configured.
    pub fn default_path(&self) -> String {
        if DYNAMIC_DATA.iter().any(|dynamic| dynamic.key == self.key) {
            format!("{DYNAMIC}/{}", self.path)
        } else if self.key.starts_with("mac-") {
            format!("{META_DATA}/network/interfaces/macs/{MAC}/{}", self.path)
        } else {
            format!("{META_DATA}/{}", self.path)
        }
    }

    /// The value where nothing else is configured.
    pub fn default_value(&self) -> Value {
        document(self.key).unwrap_or_else(|| Value::from(self.value))
    }
}

/// The values that are JSON objects, by key.
pub fn document(key: &str) -> Option<Value> {
    Some(match key {
        "iam-info" => json!({
            "Code": "Success",
            "LastUpdated": "2020-04-02T18:50:40Z",
            "InstanceProfileArn": "arn:aws:iam::896453262835:instance-profile/baskinc-role",
            "InstanceProfileId": "AIPA5BOGHHXZELSK34VU4",
        }),
        "iam-security-credentials" => json!({
            "Code": "Success",
            "LastUpdated": "2020-04-02T18:50:40Z",
            "Type": "AWS-HMAC",
            "AccessKeyId": "12345678901",
            "SecretAccessKey": "v/12345678901",
            "Token": "TEST92test48TEST+y6RpoTEST92test48TEST/8oWVAiBqTEsT5Ky7ty2tEStxC1T==",
            "Expiration": "2020-04-02T00:49:51Z",
        }),
        "elastic-inference-accelerator" => json!({
            "version_2018_04_12": {
                "elastic-inference-accelerator-id": ACCELERATOR,
                "elastic-inference-accelerator-type": "eia1.medium",
            },
        }),
        "instance-identity-document" => json!({
            "accountId": "0123456789",
            "imageId": "ami-0b69ea66ff7391e80",
            "availabilityZone": "us-east-1f",
            "ramdiskId": null,
            "kernelId": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "version": "2017-09-30",
            "privateIp": "10.0.7.10",
            "billingProducts": null,
            "instanceId": "i-1234567890abcdef0",
            "pendingTime": "2019-10-31T07:02:24Z",
            "architecture": "x86_64",
            "instanceType": "m4.xlarge",
            "region": "us-east-1",
        }),
        _ => return None,
    })
}

const PUBLIC_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC/JxGByvHDHgQAU+0nRFWdvMPi22OgNUn9ansrI8QN1ZJGxD1\
     ML8DRnJ3Q3zFKqqjGucfNWW0xpVib+ttkIBp8G9P/EOcX9C3FF63O3SnnIUHJsp5faRAZsTJPx0G5HUbvhBvnAcCtSqQgmr02c1l582vAWx48\
     pOmeXXMkl9qe9V/s7K3utmeZkRLo9DqnbsDlg5GWxLC/rWKYaZR66CnMEyZ7yBy3v3abKaGGRovLkHNAgWjSSgmUTI1nT5/S2OLxxuDnsC7+B\
     iABLPaqlIE70SzcWZ0swx68Bo2AY9T9ymGqeAM/1T4yRtg0sPB98TpT7WrY5A3iia2UVtLO/xcTt test";

const PKCS7: &str = "TESTCSqGSIb3DQEHZqCZPIZCZQExCzZJGgUrDgPCGgUZPIZGCSqGSIb3DQEHZaCZJIZEggHderog\n\
     ICJhY2NvdW50SWQiIDogIjUxNTPzNjU5NzP4PCIsCiZgImFyY2hpdGVjdHVyZSIgOiZieDg2XzY0\n\
     IirKICZiYXZhaWxhYmlsaXR5Wm9uZSIgOiZidXPtZWFzdC0xYSIsCiZgImJpbGxpbmdQcm9kdWN0\n\
     cyIgOiGudWxsLZogICJkZXZrYXlQcm9kdWN0Q29kZXPiIDogbnVsbCrKICZibWFya2V0cGxhY2VQ\n\
     cm9kdWN0Q29kZXPiIDogbnVsbCrKICZiaW1hZ2VJZCIgOiZiYW1pLTGhODg3ZTQrPWY3NjU0OTP1\n\
     IirKICZiaW5zdGFuY2VJZCIgOiZiaS0rYjU5YTdiN2NlN2UzYmIrYSIsCiZgImluc3RhbmNlVHlr\n\
     ZSIgOiZibTQueGxhcmdlIirKICZia2VybmVsSWQiIDogbnVsbCrKICZicGVuZGluZ1RpbWUiIDog\n\
     IjIrPjZtPDPtPDJUPjZ6PzY6NThaIirKICZicHJpdmF0ZUlrIiZ6ICIxNzIuPzEuPzQuNDPiLZog\n\
     ICJyYW1kaXNrSWQiIDogbnVsbCrKICZicmVnaW9uIiZ6ICJ1cy1lYXN0LTEiLZogICJ2ZXJzaW9u\n\
     IiZ6ICIyPDE3LTZ5LTPrIgp9ZZZZZZZZPYIGGTCCZRUCZQEraTGcPQsrCQYDVQQGErJVUzEZPGcG\n\
     Z1UECGPQV2FzaGluZ3RvbiGTdGF0ZTEQPZ4GZ1UEGxPHU2VhdHRsZTEgPG4GZ1UEChPXQW1hem9u\n\
     IFdlYiGTZXJ2aWNlcyGPTEPCCQCWukjZ5V4aZzZJGgUrDgPCGgUZoF0rGZYJKoZIhvcNZQkDPQsG\n\
     CSqGSIb3DQEHZTZcGgkqhkiG9r0GCQUxDxcNPjZrPzZyPjZzNzZ1WjZjGgkqhkiG9r0GCQQxFgQU\n\
     N1xlDhvo6cYuGjXZ+mlTW66Ff8rrCQYHKoZIzjgEZrQrPC4CFQCjzjYV1zGUZUxTf6rGO0en/PxR\n\
     3ZIVZK589qSkEaslLdCzeX2GnQ6dz9UeZZZZZZZZ";

const SIGNATURE: &str = "TesTTKmBbj+DUw6ut6BOr4mFGpax/k6BhIbsotUHvSIhqv7oKqwB4HZhgGP2Gvcxtz5m3QGUbnwI\n\
     hy33GWxjn7+qfZ/GUeZB1Ilc+3rW/P9G/tGxIB3HtqB6q2J6B4DOh6CJiH+BnrHazGW+bJD406Nz\n\
     eP9n/rGEGGm0cGEbbeB=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_long_values() {
        // `pkcs7` of AEMM is 1118 bytes (its pull request 105).
        assert_eq!(PKCS7.len(), 1118);
        assert_eq!(SIGNATURE.lines().map(str::len).collect::<Vec<_>>(), [76, 76, 20]);
        assert_eq!(PUBLIC_KEY.len(), 386);
    }

    #[test]
    fn keys_are_unique_and_paths_whole() {
        let all: Vec<&Entry> = STATIC.iter().chain(CONDITIONAL).chain(DYNAMIC_DATA).collect();
        let mut keys: Vec<&str> = all.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all.len());
        let path = |key: &str| all.iter().find(|e| e.key == key).unwrap().default_path();
        assert_eq!(path("mac"), "/latest/meta-data/mac");
        assert_eq!(path("mac-mac"), "/latest/meta-data/network/interfaces/macs/0e:49:61:0f:c3:11/mac");
        assert_eq!(path("instance-identity-pkcs"), "/latest/dynamic/instance-identity/pkcs7");
    }
}
