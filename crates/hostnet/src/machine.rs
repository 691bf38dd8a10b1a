//! What machine this is, by DMI: on a real cloud instance 169.254.169.254 is somebody's already.
//!
//! The values are those that cloud-init's `ds-identify` goes by. A container sees its host's.

use std::path::Path;

/// Where the kernel shows DMI.
const DMI: &str = "/sys/class/dmi/id";
/// Where a Xen guest finds its identity.
const XEN_UUID: &str = "/sys/hypervisor/uuid";

/// The few values that tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) sys_vendor: String,
    pub(crate) bios_vendor: String,
    pub(crate) bios_version: String,
    pub(crate) product_name: String,
    pub(crate) product_uuid: String,
    pub(crate) chassis_asset_tag: String,
    pub(crate) hypervisor_uuid: String,
}

/// A cloud whose instances have a metadata service at 169.254.169.254.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    Ec2,
    Other(&'static str),
}

impl Machine {
    pub(crate) fn read() -> Self {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let value = |name: &str| text(&Path::new(DMI).join(name));
        Self {
            sys_vendor: value("sys_vendor"),
            bios_vendor: value("bios_vendor"),
            bios_version: value("bios_version"),
            product_name: value("product_name"),
            product_uuid: value("product_uuid"),
            chassis_asset_tag: value("chassis_asset_tag"),
            hypervisor_uuid: text(Path::new(XEN_UUID)),
        }
    }

    pub(crate) fn cloud(&self) -> Option<Cloud> {
        if self.is_ec2() {
            return Some(Cloud::Ec2);
        }
        let other =
            match (self.sys_vendor.as_str(), self.product_name.as_str(), self.chassis_asset_tag.as_str()) {
                (_, "Google Compute Engine", _) => "Google Compute Engine",
                (_, _, "7783-7084-3265-9085-8269-3286-77") => "Azure",
                (_, _, "OracleCloud.com") => "Oracle Cloud",
                ("DigitalOcean", _, _) => "DigitalOcean",
                ("Hetzner", _, _) => "Hetzner Cloud",
                (_, "OpenStack Nova" | "OpenStack Compute", _) => "OpenStack",
                _ => return None,
            };
        Some(Cloud::Other(other))
    }

    /// Nitro and bare metal name the vendor. Xen instances have a version like `4.11.amazon` and a UUID that begins
    /// with ec2; one UUID in 4096 does so by chance, hence only with Xen.
    fn is_ec2(&self) -> bool {
        let is_amazon = |vendor: &str| vendor == "Amazon EC2";
        let begins = |uuid: &str| uuid.to_ascii_lowercase().starts_with("ec2");
        is_amazon(&self.sys_vendor)
            || is_amazon(&self.bios_vendor)
            || self.bios_version.to_ascii_lowercase().contains("amazon")
            || begins(&self.hypervisor_uuid)
            || (self.sys_vendor == "Xen" && begins(&self.product_uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nitro_and_xen_instances_are_ec2() {
        let nitro = Machine {
            sys_vendor: "Amazon EC2".into(),
            product_name: "t3.micro".into(),
            ..Machine::default()
        };
        let xen =
            Machine { sys_vendor: "Xen".into(), bios_version: "4.11.amazon".into(), ..Machine::default() };
        let old = Machine { hypervisor_uuid: "ec2f1e6c-0c3b-4a4c".into(), ..Machine::default() };
        for machine in [nitro, xen, old] {
            assert_eq!(machine.cloud(), Some(Cloud::Ec2), "{machine:?}");
        }
    }

    #[test]
    fn a_uuid_that_begins_with_ec2_by_chance_is_no_instance() {
        let laptop =
            Machine { sys_vendor: "LENOVO".into(), product_uuid: "ec2f1e6c".into(), ..Machine::default() };
        assert_eq!(laptop.cloud(), None);
        assert_eq!(Machine::default().cloud(), None);
    }

    #[test]
    fn hyper_v_on_a_desk_is_not_azure() {
        let desk = Machine { sys_vendor: "Microsoft Corporation".into(), ..Machine::default() };
        assert_eq!(desk.cloud(), None);
        let azure = Machine { chassis_asset_tag: "7783-7084-3265-9085-8269-3286-77".into(), ..desk };
        assert_eq!(azure.cloud(), Some(Cloud::Other("Azure")));
    }
}
