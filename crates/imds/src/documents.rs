//! The JSON bodies of the service, in its house style: two spaces of indent, a space on either side of the
//! colon, LF, no LF at the end, keys in EC2's order (reference section 5). Spot, rebalance and tag-sets are
//! one line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::date::{maintenance_date, rfc3339};
use crate::instance::Instance;
use crate::request::RoleAnswer;
use crate::tree::{InfoFailure, InstanceProfile};

/// A JSON string, quoted and escaped.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// An object in house style; values are JSON already.
fn object(members: &[(&str, String)], indent: &str) -> String {
    let lines: Vec<String> =
        members.iter().map(|(key, value)| format!("{indent}  \"{key}\" : {value}")).collect();
    format!("{{\n{}\n{indent}}}", lines.join(",\n"))
}

fn texts(members: &[(&str, &str)]) -> String {
    let members: Vec<(&str, String)> = members.iter().map(|(key, value)| (*key, quoted(value))).collect();
    object(&members, "")
}

/// `null`, or the texts in one line: `[ "bp-1", "bp-2" ]`.
fn list(values: &[String]) -> String {
    if values.is_empty() {
        return "null".to_owned();
    }
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[ {} ]", values.join(", "))
}

/// `dynamic/instance-identity/document`.
pub(crate) fn identity_document(instance: &Instance) -> String {
    let text = |value: &str| quoted(value);
    let optional = |value: &Option<String>| value.as_deref().map_or("null".to_owned(), quoted);
    object(
        &[
            ("accountId", text(&instance.account_id)),
            ("architecture", text(&instance.architecture)),
            ("availabilityZone", text(&instance.availability_zone)),
            ("billingProducts", list(&instance.billing_products)),
            ("devpayProductCodes", list(&instance.devpay_product_codes)),
            ("marketplaceProductCodes", list(&instance.marketplace_product_codes)),
            ("imageId", text(&instance.ami_id)),
            ("instanceId", text(&instance.instance_id)),
            ("instanceType", text(&instance.instance_type)),
            ("kernelId", optional(&instance.kernel_id)),
            ("pendingTime", quoted(&rfc3339(instance.pending_time))),
            ("privateIp", optional(&instance.local_ipv4)),
            ("ramdiskId", optional(&instance.ramdisk_id)),
            ("region", text(&instance.region)),
            ("version", text("2017-09-30")),
        ],
        "",
    )
}

/// `iam/security-credentials/ROLE`; with `extended`, the account is told too.
pub(crate) fn credentials(answer: &RoleAnswer, extended: bool) -> String {
    match answer {
        RoleAnswer::Success {
            access_key_id,
            secret_access_key,
            token,
            last_updated,
            expiration,
            account_id,
        } => {
            let (updated, expires) = (rfc3339(*last_updated), rfc3339(*expiration));
            let mut members = vec![
                ("Code", "Success"),
                ("LastUpdated", updated.as_str()),
                ("Type", "AWS-HMAC"),
                ("AccessKeyId", access_key_id.as_str()),
                ("SecretAccessKey", secret_access_key.as_str()),
            ];
            members.extend(token.as_deref().map(|token| ("Token", token)));
            members.push(("Expiration", expires.as_str()));
            let account = account_id.as_deref().filter(|_| extended);
            members.extend(account.map(|account| ("AccountId", account)));
            texts(&members)
        }
        RoleAnswer::Failure { code, message, last_updated } => failed(code, message, *last_updated),
    }
}

/// EC2's way to say that something went wrong, with HTTP 200.
fn failed(code: &str, message: &str, last_updated: Timestamp) -> String {
    texts(&[("Code", code), ("Message", message), ("LastUpdated", &rfc3339(last_updated))])
}

/// EC2's sentence when a role's trust policy does not let it in (captured 2018 and 2020).
pub fn assume_role_unauthorized_message(role: &str) -> String {
    format!(
        "EC2 cannot assume the role {role}.  Please see documentation at \
         http://docs.amazonwebservices.com/IAM/latest/UserGuide/RolesTroubleshooting.html."
    )
}

const TROUBLESHOOTING: &str = "Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/\
                               troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.";

/// `iam/info`.
pub(crate) fn iam_info(profile: &InstanceProfile, last_updated: Timestamp) -> String {
    if let Some(InfoFailure { code, message }) = &profile.failure {
        let message = message.clone().unwrap_or_else(|| match code.as_str() {
            "InstanceProfileNotFound" => {
                format!("Instance Profile with Id {} cannot be found.  {TROUBLESHOOTING}", profile.id)
            }
            // How EC2 ends this sentence is not known (reference 5.1).
            _ => format!("Instance Profile does not contain a role.  {TROUBLESHOOTING}"),
        });
        return failed(code, &message, last_updated);
    }
    texts(&[
        ("Code", "Success"),
        ("LastUpdated", &rfc3339(last_updated)),
        ("InstanceProfileArn", &profile.arn),
        ("InstanceProfileId", &profile.id),
    ])
}

/// `identity-credentials/ec2/info`.
pub(crate) fn identity_info(account: &str, last_updated: Timestamp) -> String {
    texts(&[("Code", "Success"), ("LastUpdated", &rfc3339(last_updated)), ("AccountId", account)])
}

/// `tag-sets/instance`: one line, `{}` when there are no tags.
pub(crate) fn tag_set(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<String> =
        tags.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
    format!("{{{}}}", tags.join(","))
}

/// `spot/instance-action`.
pub(crate) fn spot_action(action: &str, at: Timestamp) -> String {
    format!("{{\"action\": {}, \"time\": {}}}", quoted(action), quoted(&rfc3339(at)))
}

/// `events/recommendations/rebalance`.
pub(crate) fn rebalance(notice: Timestamp) -> String {
    format!("{{\"noticeTime\": {}}}", quoted(&rfc3339(notice)))
}

/// A maintenance event as it is printed.
pub(crate) struct Maintenance<'a> {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) not_before_deadline: Option<Timestamp>,
    pub(crate) code: &'a str,
    pub(crate) description: String,
    pub(crate) event_id: &'a str,
    pub(crate) state: &'a str,
}

/// `events/maintenance/scheduled` and `history`: `[]`, or the objects between `[ ` and ` ]`.
pub(crate) fn maintenance(events: &[Maintenance<'_>]) -> String {
    if events.is_empty() {
        return "[]".to_owned();
    }
    let objects: Vec<String> = events
        .iter()
        .map(|event| {
            let date = |at: Timestamp| quoted(&maintenance_date(at));
            let mut members = vec![
                ("NotBefore", date(event.not_before)),
                ("Code", quoted(event.code)),
                ("Description", quoted(&event.description)),
                ("EventId", quoted(event.event_id)),
            ];
            members.extend(event.not_after.map(|at| ("NotAfter", date(at))));
            members.push(("State", quoted(event.state)));
            members.extend(event.not_before_deadline.map(|at| ("NotBeforeDeadline", date(at))));
            object(&members, "")
        })
        .collect();
    format!("[ {} ]", objects.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn role_credentials() {
        let answer = RoleAnswer::Success {
            access_key_id: "ASIAEXAMPLEEXAMPLE12".into(),
            secret_access_key: "secret/+".into(),
            token: Some("IQoJ".into()),
            last_updated: at("2026-10-02T03:51:28.9Z"),
            expiration: at("2026-10-02T10:26:30Z"),
            account_id: Some("123456789012".into()),
        };
        let text = "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-10-02T03:51:28Z\",\n  \
                    \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"ASIAEXAMPLEEXAMPLE12\",\n  \
                    \"SecretAccessKey\" : \"secret/+\",\n  \"Token\" : \"IQoJ\",\n  \
                    \"Expiration\" : \"2026-10-02T10:26:30Z\"";
        assert_eq!(credentials(&answer, false), format!("{text}\n}}"));
        let extended = format!("{text},\n  \"AccountId\" : \"123456789012\"\n}}");
        assert_eq!(credentials(&answer, true), extended);
    }

    #[test]
    fn a_failed_role() {
        let answer = RoleAnswer::Failure {
            code: "AssumeRoleUnauthorizedAccess".into(),
            message: assume_role_unauthorized_message("app"),
            last_updated: at("2026-10-02T03:51:28Z"),
        };
        assert_eq!(
            credentials(&answer, false),
            "{\n  \"Code\" : \"AssumeRoleUnauthorizedAccess\",\n  \"Message\" : \"EC2 cannot assume the role \
             app.  Please see documentation at http://docs.amazonwebservices.com/IAM/latest/UserGuide/\
             RolesTroubleshooting.html.\",\n  \"LastUpdated\" : \"2026-10-02T03:51:28Z\"\n}"
        );
    }

    #[test]
    fn instance_profiles() {
        let mut profile = InstanceProfile {
            arn: "arn:aws:iam::123456789012:instance-profile/app".into(),
            id: "AIPAEXAMPLE".into(),
            failure: None,
        };
        let updated = at("2026-10-02T03:51:42Z");
        assert_eq!(
            iam_info(&profile, updated),
            "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-10-02T03:51:42Z\",\n  \
             \"InstanceProfileArn\" : \"arn:aws:iam::123456789012:instance-profile/app\",\n  \
             \"InstanceProfileId\" : \"AIPAEXAMPLE\"\n}"
        );
        profile.failure = Some(InfoFailure { code: "InstanceProfileNotFound".into(), message: None });
        assert_eq!(
            iam_info(&profile, updated),
            "{\n  \"Code\" : \"InstanceProfileNotFound\",\n  \"Message\" : \"Instance Profile with Id \
             AIPAEXAMPLE cannot be found.  Please see documentation at https://docs.aws.amazon.com/IAM/latest/\
             UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.\",\n  \
             \"LastUpdated\" : \"2026-10-02T03:51:42Z\"\n}"
        );
    }

    #[test]
    fn one_line_documents() {
        let tags = [("b", "x\"y"), ("a", "ü\n")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(tag_set(&tags.into()), "{\"a\":\"ü\\n\",\"b\":\"x\\\"y\"}");
        assert_eq!(tag_set(&BTreeMap::new()), "{}");
        let time = at("2017-09-18T08:22:00Z");
        let action = "{\"action\": \"terminate\", \"time\": \"2017-09-18T08:22:00Z\"}";
        assert_eq!(spot_action("terminate", time), action);
        assert_eq!(rebalance(time), "{\"noticeTime\": \"2017-09-18T08:22:00Z\"}");
    }

    #[test]
    fn maintenance_events() {
        let event = Maintenance {
            not_before: at("2019-01-21T09:00:43Z"),
            not_after: Some(at("2019-01-21T09:17:23Z")),
            not_before_deadline: None,
            code: "system-reboot",
            description: "scheduled reboot".into(),
            event_id: "instance-event-0d59937288b749b32",
            state: "active",
        };
        assert_eq!(
            maintenance(&[event]),
            "[ {\n  \"NotBefore\" : \"21 Jan 2019 09:00:43 GMT\",\n  \"Code\" : \"system-reboot\",\n  \
             \"Description\" : \"scheduled reboot\",\n  \"EventId\" : \"instance-event-0d59937288b749b32\",\n  \
             \"NotAfter\" : \"21 Jan 2019 09:17:23 GMT\",\n  \"State\" : \"active\"\n} ]"
        );
        assert_eq!(maintenance(&[]), "[]");
    }
}
