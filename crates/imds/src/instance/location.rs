//! Where the instance of a specification lies, from whichever of region, zone and zone id it names.

use super::InstanceSpec;
use super::place::{self, Partition};
use super::value::{Checked, optional, refuse};

/// Region, zone and what follows from them.
pub(super) struct Location {
    pub(super) region: String,
    pub(super) partition: Partition,
    pub(super) domain: String,
    pub(super) availability_zone: String,
    pub(super) availability_zone_id: String,
}

impl Location {
    pub(super) fn of(spec: &InstanceSpec) -> Checked<Location> {
        let zone = optional("availability-zone", spec.availability_zone.as_deref())?;
        let region = match (optional("region", spec.region.as_deref())?, &zone) {
            (Some(region), _) if !place::is_region(&region) => {
                return refuse("region", format!("{region:?} is not a region such as us-east-1"));
            }
            (Some(region), _) => region,
            (None, Some(zone)) => match place::region_of_zone(zone).filter(|region| place::is_region(region))
            {
                Some(region) => region.to_owned(),
                None => {
                    let message = format!("{zone:?} is not a zone such as us-east-1a; name the region too");
                    return refuse("availability-zone", message);
                }
            },
            (None, None) => region_of_id(spec).unwrap_or("us-east-1").to_owned(),
        };
        let availability_zone = zone.unwrap_or_else(|| zone_of_id(spec, &region));
        if !place::zone_in_region(&availability_zone, &region) {
            let message = format!(
                "{availability_zone:?} is not in region {region:?}; change one of them, or leave one out"
            );
            return refuse("availability-zone", message);
        }
        let partition = Partition::of_region(&region);
        agrees("partition", &spec.partition, partition.name, &region)?;
        agrees("domain", &spec.domain, partition.domain, &region)?;
        let availability_zone_id =
            match optional("availability-zone-id", spec.availability_zone_id.as_deref())? {
                Some(id) => match place::known_region_of_zone_id(&id) {
                    Some(other) if other != region => {
                        let message = format!(
                            "{id:?} is in region {other:?}, not in {region:?}; change one, or leave one out"
                        );
                        return refuse("availability-zone-id", message);
                    }
                    _ => id,
                },
                None => place::zone_id(&availability_zone, &region),
            };
        let domain = partition.domain.to_owned();
        Ok(Location { region, partition, domain, availability_zone, availability_zone_id })
    }
}

/// The region named by a zone id alone.
fn region_of_id(spec: &InstanceSpec) -> Option<&'static str> {
    place::known_region_of_zone_id(spec.availability_zone_id.as_deref()?)
}

/// A zone for an id alone: the letter that number has here, or the first.
fn zone_of_id(spec: &InstanceSpec, region: &str) -> String {
    let id = spec.availability_zone_id.as_deref();
    let zones = (b'a'..=b'z').map(|letter| format!("{region}{}", letter as char));
    let mut named = zones.filter(|zone| Some(place::zone_id(zone, region).as_str()) == id);
    named.next().unwrap_or_else(|| format!("{region}a"))
}

fn agrees(key: &str, given: &Option<String>, derived: &str, region: &str) -> Checked<()> {
    match given {
        Some(given) if given != derived => {
            let message = format!(
                "{given:?} is not that of region {region:?}, which is {derived:?}; leave it out, or set \
                 meta-data/services/{key} under [tree]"
            );
            refuse(key, message)
        }
        _ => Ok(()),
    }
}
