//! Addresses, links and routes of this network namespace, by rtnetlink.
//!
//! The metadata addresses go on `lo` with scope host: with scope global the kernel would pick 169.254.169.254 as a
//! source for packets that leave the host. Ours carry a mark, so that they are told from another's without any file:
//! the label `lo:fakemeta` on IPv4 (ip-address(8)), the origin 0xfa on IPv6 (`IFA_PROTO`, Linux 5.18 and later;
//! older kernels drop it, and then the journal knows).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::runtime::Runtime;

use crate::error::Error;

const LABEL: &str = "lo:fakemeta";
const ORIGIN: u8 = 0xfa;
const LO: &str = "lo";

/// An address of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) interface: String,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    /// Carries our mark.
    pub(crate) marked: bool,
}

/// A unicast route whose destination is the metadata address or a small network around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRoute {
    pub(crate) network: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) interface: String,
}

/// A socket to the kernel, with the thread-less runtime that drives it.
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
    links: BTreeMap<u32, String>,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |source| Error::Io { action: "open".into(), target: "rtnetlink".into(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (connection, handle, _) = {
            let _inside = runtime.enter();
            rtnetlink::new_connection().map_err(failed)?
        };
        runtime.spawn(connection);
        let mut netlink = Self { runtime, handle, links: BTreeMap::new() };
        netlink.links = netlink.read_links()?;
        Ok(netlink)
    }

    fn read_links(&self) -> Result<BTreeMap<u32, String>, Error> {
        let request = self.handle.link().get().execute();
        let messages =
            self.runtime.block_on(request.try_collect::<Vec<_>>()).map_err(|e| failed("list links", e))?;
        let named = messages.into_iter().filter_map(|message| {
            let name = message.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            name.map(|name| (message.header.index, name))
        });
        Ok(named.collect())
    }

    pub(crate) fn addresses(&self) -> Result<Vec<HostAddress>, Error> {
        let messages = self.address_messages()?;
        let address = |message: &AddressMessage| {
            let address = ip_of(message)?;
            let interface = self.name(message.header.index);
            Some(HostAddress {
                interface,
                address,
                prefix: message.header.prefix_len,
                marked: is_marked(message),
            })
        };
        Ok(messages.iter().filter_map(address).collect())
    }

    fn address_messages(&self) -> Result<Vec<AddressMessage>, Error> {
        let request = self.handle.address().get().execute();
        self.runtime.block_on(request.try_collect()).map_err(|error| failed("list addresses", error))
    }

    /// Adds our mark and scope host. The address must not be on `lo` yet.
    pub(crate) fn add_to_lo(&self, address: IpAddr) -> Result<(), Error> {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let mut request = self.handle.address().add(self.lo()?, address, prefix);
        let message = request.message_mut();
        message.header.scope = AddressScope::Host;
        match address {
            IpAddr::V4(_) => {
                // A broadcast address makes no sense for one host.
                message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
                message.attributes.push(AddressAttribute::Label(LABEL.to_owned()));
            }
            IpAddr::V6(_) => {
                // IPv6 has no scope host for it: deprecated is what keeps it from being a source (RFC 6724, rule 3).
                let mut lifetime = CacheInfo::default();
                (lifetime.ifa_preferred, lifetime.ifa_valid) = (0, u32::MAX);
                message.attributes.push(AddressAttribute::CacheInfo(lifetime));
                message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(ORIGIN)));
            }
        }
        let action = format!("add {address}/{prefix} to lo");
        self.runtime.block_on(request.execute()).map_err(|error| failed(&action, error))
    }

    /// Takes the address off `lo`; its absence is success. Whose it is has been decided before.
    pub(crate) fn delete_from_lo(&self, address: IpAddr) -> Result<bool, Error> {
        let lo = self.lo()?;
        let messages = self.address_messages()?;
        let found = messages.into_iter().find(|m| m.header.index == lo && ip_of(m) == Some(address));
        let Some(message) = found else { return Ok(false) };
        let action = format!("remove {address} from lo");
        self.runtime
            .block_on(self.handle.address().del(message).execute())
            .map_err(|error| failed(&action, error))?;
        Ok(true)
    }

    /// Routes narrower than the link-local network itself that take 169.254.169.254 elsewhere.
    pub(crate) fn routes_to(&self, address: Ipv4Addr) -> Result<Vec<HostRoute>, Error> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let request = self.handle.route().get(message).execute();
        let messages: Vec<RouteMessage> =
            self.runtime.block_on(request.try_collect()).map_err(|error| failed("list routes", error))?;
        Ok(messages.iter().filter_map(|message| self.route_to(message, address)).collect())
    }

    fn route_to(&self, message: &RouteMessage, address: Ipv4Addr) -> Option<HostRoute> {
        let prefix = message.header.destination_prefix_length;
        // 169.254.0.0/16 is what zeroconf sets up on any desktop; it leads to nobody in particular.
        if message.header.kind != RouteType::Unicast || prefix <= 16 {
            return None;
        }
        let mut route =
            HostRoute { network: Ipv4Addr::UNSPECIFIED, prefix, gateway: None, interface: String::new() };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(network)) => route.network = *network,
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => {
                    route.gateway = Some(IpAddr::V4(*gateway))
                }
                RouteAttribute::Oif(index) => route.interface = self.name(*index),
                _ => {}
            }
        }
        within(address, route.network, prefix).then_some(route)
    }

    fn lo(&self) -> Result<u32, Error> {
        let found = self.links.iter().find(|(_, name)| *name == LO).map(|(index, _)| *index);
        found.ok_or_else(|| Error::Netlink {
            action: "find the interface lo".into(),
            cause: "there is none".into(),
        })
    }

    fn name(&self, index: u32) -> String {
        self.links.get(&index).cloned().unwrap_or_else(|| format!("link {index}"))
    }
}

fn within(address: Ipv4Addr, network: Ipv4Addr, prefix: u8) -> bool {
    let shift = 32 - u32::from(prefix.clamp(1, 32));
    address.to_bits() >> shift == network.to_bits() >> shift
}

/// The address itself: `IFA_LOCAL` where there is one (on a point-to-point link `IFA_ADDRESS` is the peer's).
fn ip_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn is_marked(message: &AddressMessage) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Label(label) => label == LABEL,
        AddressAttribute::Protocol(AddressProtocol::Other(origin)) => *origin == ORIGIN,
        _ => false,
    })
}

fn failed(action: &str, error: rtnetlink::Error) -> Error {
    let cause = match &error {
        rtnetlink::Error::NetlinkError(message) => {
            let cause = message.to_io();
            if cause.kind() == std::io::ErrorKind::PermissionDenied {
                return Error::NotPermitted { action: action.to_owned() };
            }
            cause.to_string()
        }
        other => other.to_string(),
    };
    Error::Netlink { action: action.to_owned(), cause }
}
