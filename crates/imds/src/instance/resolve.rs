//! Completion and checks: from a specification to an instance that agrees with itself.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;

use super::location::Location;
use super::network::{self, Owner};
use super::spec::TagsSetting;
use super::value::{self, Checked, always, line, lines, optional, refuse};
use super::{Instance, InstanceError, InstanceSpec};
use crate::events::LifecycleState;
use crate::version::{VERSIONS, Version};

/// EC2's limit on user data before base64.
const MAX_USER_DATA: usize = 16 * 1024;

impl Instance {
    /// Completes a specification. `launch` is when the instance is taken to have started.
    ///
    /// Refuses values that cannot be, and values that contradict each other, with the key and what to do. The
    /// same arguments always give the same instance.
    pub fn resolve(spec: &InstanceSpec, launch: Timestamp) -> Result<Instance, InstanceError> {
        let place = Location::of(spec)?;
        let account_id = match &spec.account_id {
            Some(id) => value::account("account-id", id.clone())?,
            None => "123456789012".to_owned(),
        };
        let instance_id = always("instance-id", spec.instance_id.as_deref(), "i-1234567890abcdef0")?;
        let instance_type = always("instance-type", spec.instance_type.as_deref(), usual_type(spec))?;
        let owner = Owner {
            account_id: &account_id,
            instance_id: &instance_id,
            region: &place.region,
            hostname_type: spec.hostname_type,
        };
        let interfaces = network::interfaces(spec, &owner)?;
        let primary = &interfaces[0];
        let local_ipv4 = primary.local_ipv4s.first().cloned();
        let local_hostname = primary.local_hostname.clone();
        let hostname = match (spec.hostname.as_deref(), &local_hostname) {
            (Some(name), _) => line("hostname", name)?,
            (None, Some(name)) => name.clone(),
            (None, None) => network::hostname(&owner, local_ipv4.as_ref()),
        };
        let public_ipv4 = match spec.public_ipv4.as_deref() {
            Some(address) => optional("public-ipv4", Some(address))?,
            None => public_address(primary),
        };
        let product_codes = lines("product-codes", spec.product_codes.as_deref())?;
        let marketplace_product_codes = match &spec.marketplace_product_codes {
            Some(codes) => lines("marketplace-product-codes", Some(codes))?,
            None => product_codes.clone(),
        };
        Ok(Instance {
            ami_id: always("ami-id", spec.ami_id.as_deref(), "ami-0abcdef1234567890")?,
            ami_launch_index: value::number(
                "ami-launch-index",
                always("ami-launch-index", spec.ami_launch_index.as_deref(), "0")?,
            )?,
            // EC2 says so for an AMI on EBS.
            ami_manifest_path: always("ami-manifest-path", spec.ami_manifest_path.as_deref(), "(unknown)")?,
            ancestor_ami_ids: lines("ancestor-ami-ids", spec.ancestor_ami_ids.as_deref())?,
            architecture: architecture(spec, &instance_type)?,
            billing_products: lines("billing-products", spec.billing_products.as_deref())?,
            block_devices: block_devices(spec)?,
            devpay_product_codes: lines("devpay-product-codes", spec.devpay_product_codes.as_deref())?,
            group_name: optional("group-name", spec.group_name.as_deref())?,
            host_id: optional("host-id", spec.host_id.as_deref())?,
            hostname,
            instance_action: always("instance-action", spec.instance_action.as_deref(), "none")?,
            instance_life_cycle: always(
                "instance-life-cycle",
                spec.instance_life_cycle.as_deref(),
                "on-demand",
            )?,
            ipv6: match &spec.ipv6 {
                Some(address) => optional("ipv6", Some(address))?,
                None => primary.ipv6s.first().cloned(),
            },
            kernel_id: optional("kernel-id", spec.kernel_id.as_deref())?,
            launched: launch,
            local_hostname,
            local_ipv4,
            mac: primary.mac.clone(),
            marketplace_product_codes,
            partition_number: optional("partition-number", spec.partition_number.as_deref())?
                .map(|number| value::number("partition-number", number))
                .transpose()?,
            pending_time: pending_time(spec, launch)?,
            product_codes,
            profile: optional("profile", Some(spec.profile.as_deref().unwrap_or("default-hvm")))?,
            public_hostname: primary.public_hostname.clone(),
            public_ipv4,
            public_keys: public_keys(spec)?,
            ramdisk_id: optional("ramdisk-id", spec.ramdisk_id.as_deref())?,
            reservation_id: always(
                "reservation-id",
                spec.reservation_id.as_deref(),
                value::made_up_id("r", &[&instance_id]),
            )?,
            security_groups: primary.security_groups.clone(),
            system: optional("system", Some(spec.system.as_deref().unwrap_or(system(&instance_type))))?,
            tags: tags(spec)?,
            target_lifecycle_state: lifecycle_state(spec)?,
            user_data: user_data(spec)?,
            versions: versions(spec)?,
            availability_zone: place.availability_zone,
            availability_zone_id: place.availability_zone_id,
            domain: place.domain,
            partition: place.partition,
            region: place.region,
            account_id,
            instance_id,
            instance_type,
            interfaces,
        })
    }
}

/// The public address of the primary private one, or the first.
fn public_address(primary: &network::Interface) -> Option<String> {
    let of_first = |private: &Vec<String>| private.first() == primary.local_ipv4s.first();
    let associated = primary.ipv4_associations.iter().find(|(_, private)| of_first(private));
    associated.map(|(public, _)| public).or(primary.public_ipv4s.first()).cloned()
}

/// The type of an instance that is given none.
fn usual_type(spec: &InstanceSpec) -> &'static str {
    match spec.architecture.as_deref() {
        Some("arm64") => "t4g.micro",
        _ => "t3.micro",
    }
}

/// Graviton types have a `g` right after the generation (t4g, c7gn, im4gn); a1 was the first.
fn is_arm(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let after_letters = family.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
    let generation = after_letters.trim_start_matches(|digit: char| digit.is_ascii_digit());
    family == "a1" || after_letters.len() > generation.len() && generation.starts_with('g')
}

fn architecture(spec: &InstanceSpec, instance_type: &str) -> Checked<String> {
    let usual = match instance_type.split('.').next() {
        Some("mac1") => "x86_64_mac",
        Some(mac) if mac.starts_with("mac") => "arm64_mac",
        _ if is_arm(instance_type) => "arm64",
        _ => "x86_64",
    };
    let given = always("architecture", spec.architecture.as_deref(), usual)?;
    if given.starts_with("arm") != usual.starts_with("arm") && spec.instance_type.is_some() {
        let message = format!(
            "{given:?} is not that of {instance_type}, which is {usual:?}; change one, or leave one out"
        );
        return refuse("architecture", message);
    }
    Ok(given)
}

/// The hypervisor by the generation of the type; what Xen types answer is not known (reference 4.1).
fn system(instance_type: &str) -> &'static str {
    const XEN: [&str; 27] = [
        "c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3", "m1", "m2",
        "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e", "cg1",
    ];
    match instance_type.split_once('.') {
        Some((family, size)) if XEN.contains(&family) && size != "metal" => "xen",
        _ => "nitro",
    }
}

fn block_devices(spec: &InstanceSpec) -> Checked<BTreeMap<String, String>> {
    let key = "block-device-mapping";
    let given = &spec.block_device_mapping;
    let root = given.get("root").filter(|device| !device.is_empty());
    let root = root.map_or("/dev/xvda", String::as_str);
    let ami = root.strip_prefix("/dev/").unwrap_or(root);
    let mut devices =
        BTreeMap::from([("root".to_owned(), root.to_owned()), ("ami".to_owned(), ami.to_owned())]);
    for (name, device) in given {
        value::name(key, line(key, name)?)?;
        match device.is_empty() {
            true => devices.remove(name),
            false => devices.insert(name.clone(), line(key, device)?),
        };
    }
    for (at, volume) in spec.volumes.iter().enumerate() {
        let key = |leaf: &str| format!("volumes[{at}].{leaf}");
        let device = line(&key("device-name"), &volume.device_name)?;
        let name = match &volume.virtual_name {
            Some(name) => value::name(&key("virtual-name"), line(&key("virtual-name"), name)?)?,
            None => (1..)
                .map(|number| format!("ebs{number}"))
                .find(|name| !devices.contains_key(name))
                .unwrap_or_default(),
        };
        if devices.contains_key(&name) {
            return refuse(key("virtual-name"), format!("{name:?} is given twice"));
        }
        devices.insert(name, device.strip_prefix("/dev/").unwrap_or(&device).to_owned());
    }
    Ok(devices)
}

fn pending_time(spec: &InstanceSpec, launch: Timestamp) -> Checked<Timestamp> {
    match &spec.pending_time {
        None => Ok(launch),
        Some(text) => text.parse().or_else(|_| {
            refuse("pending-time", format!("{text:?} is not a time such as 2026-09-26T11:03:58Z"))
        }),
    }
}

fn public_keys(spec: &InstanceSpec) -> Checked<Vec<(String, String)>> {
    let keys = spec.public_keys.iter().map(|key| {
        let name = value::name("public-keys", line("public-keys", &key.name)?)?;
        let text = line("public-keys", key.openssh_key.trim_end_matches('\n'))?;
        Ok((name, text))
    });
    keys.collect()
}

/// The tags that the metadata shows. EC2 refuses to show tags whose keys cannot be names of a path.
fn tags(spec: &InstanceSpec) -> Checked<Option<BTreeMap<String, String>>> {
    let tags = spec.tags.clone();
    let shown = match spec.instance_metadata_tags {
        Some(setting) => setting == TagsSetting::Enabled,
        None => tags.is_some(),
    };
    if !shown {
        return Ok(None);
    }
    let tags = tags.unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "+-=.,_:@".contains(letter);
    for key in tags.keys() {
        if key.is_empty() || !key.chars().all(allowed) || matches!(key.as_str(), "." | ".." | "_index") {
            let message = format!(
                "{key:?} cannot be shown in the metadata: a key holds letters, digits and + - = . , _ : @ and \
                 is not \".\", \"..\" or \"_index\"; rename it, or set instance-metadata-tags = \"disabled\""
            );
            return refuse("tags", message);
        }
    }
    Ok(Some(tags))
}

fn lifecycle_state(spec: &InstanceSpec) -> Checked<Option<String>> {
    let state = optional("target-lifecycle-state", spec.target_lifecycle_state.as_deref())?;
    match state {
        Some(state) if LifecycleState::named(&state).is_none() => {
            let states: Vec<&str> = LifecycleState::ALL.iter().map(|state| state.name()).collect();
            refuse("target-lifecycle-state", format!("{state:?} is not one of {}", states.join(", ")))
        }
        state => Ok(state),
    }
}

fn user_data(spec: &InstanceSpec) -> Checked<Option<Bytes>> {
    let given = [
        spec.user_data.is_some(),
        spec.user_data_base64.is_some(),
        spec.user_data_file.is_some() || spec.user_data_bytes.is_some(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        return refuse("user-data", "keep one of user-data, user-data-base64 and user-data-file");
    }
    if spec.user_data_file.is_some() && spec.user_data_bytes.is_none() {
        return refuse("user-data-file", "the file was not read");
    }
    let data = match (&spec.user_data, &spec.user_data_base64) {
        (Some(text), _) => Some(Bytes::copy_from_slice(text.as_bytes())),
        (None, Some(text)) => {
            let text: String = text.split_ascii_whitespace().collect();
            match STANDARD.decode(text) {
                Ok(data) => Some(Bytes::from(data)),
                Err(error) => return refuse("user-data-base64", format!("not base64: {error}")),
            }
        }
        (None, None) => spec.user_data_bytes.clone(),
    };
    match data {
        Some(data) if data.len() > MAX_USER_DATA => {
            let message = format!("{} bytes of user data; EC2 takes at most {MAX_USER_DATA}", data.len());
            refuse("user-data", message)
        }
        // Empty user data is none: EC2 cannot be given any.
        data => Ok(data.filter(|data| !data.is_empty())),
    }
}

fn versions(spec: &InstanceSpec) -> Checked<Vec<String>> {
    let Some(given) = &spec.versions else {
        return Ok(VERSIONS.map(str::to_owned).to_vec());
    };
    if !given.iter().any(|name| name == Version::LATEST.name()) {
        return refuse("versions", "must hold \"latest\"; leave it out for those of a 2026 instance");
    }
    let mut versions = given.clone();
    versions.sort();
    versions.dedup();
    match versions.iter().find(|name| Version::seen_under(name).is_none()) {
        Some(name) => {
            refuse("versions", format!("{name:?} is neither \"latest\", \"1.0\" nor a date since 2007-01-19"))
        }
        None => Ok(versions),
    }
}
