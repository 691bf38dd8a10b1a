//! Who has which address on an engine's networks, asked anew whenever what was told is older than [`FRESH`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::engine::{within, within_or_gone};
use super::table::Table;
use crate::callers::networks::Network;

/// How long the networks' state may be used after it was asked for. An address changes hands in many
/// times that: the old container's processes are ended and its endpoint is deleted, then the new one's
/// namespaces are made and its program is run.
const FRESH: Duration = Duration::from_millis(20);

/// An engine's networks, and which container has which address on each, as they were told last.
#[derive(Default)]
pub(super) struct Networks {
    listed: Option<Instant>,
    all: Vec<NetworkOf>,
}

struct NetworkOf {
    id: String,
    /// Where its addresses are from; empty where the engine does not say.
    subnets: Vec<Network>,
    table: Option<(Instant, Table)>,
}

impl NetworkOf {
    fn may_hold(&self, address: IpAddr) -> bool {
        self.subnets.is_empty() || self.subnets.iter().any(|subnet| subnet.holds(address))
    }

    fn is_fresh(&self) -> bool {
        self.table.as_ref().is_some_and(|(at, _)| at.elapsed() <= FRESH)
    }
}

impl Networks {
    /// Who has these addresses at this moment. Only the networks that can hold one of them are asked
    /// about: podman locks every container of a network for its answer.
    pub(super) async fn survey(&mut self, docker: &Docker, asked: &[IpAddr]) -> Result<Table, String> {
        if self.listed.is_none_or(|at| at.elapsed() > FRESH) {
            let begun = Instant::now();
            let listed = within(docker.list_networks(None::<ListNetworksOptions>)).await?;
            let mut tables: HashMap<String, (Instant, Table)> =
                self.all.drain(..).filter_map(|network| Some((network.id, network.table?))).collect();
            self.all = listed.into_iter().filter_map(|network| network_of(network, &mut tables)).collect();
            self.listed = Some(begun);
        }
        let concerned = |network: &NetworkOf| asked.iter().any(|address| network.may_hold(*address));
        let stale = self.all.iter_mut().filter(|network| concerned(network) && !network.is_fresh());
        try_join_all(stale.map(|network| async {
            let begun = Instant::now();
            let told = docker.inspect_network(&network.id, None::<InspectNetworkOptions>);
            network.table = Some((begun, within_or_gone(told).await?.map(Table::of).unwrap_or_default()));
            Ok::<_, String>(())
        }))
        .await?;
        let mut table = Table::default();
        for network in self.all.iter().filter(|network| concerned(network)) {
            if let Some((_, told)) = &network.table {
                table.merge(told);
            }
        }
        Ok(table)
    }
}

/// A network as the engine lists it; `None` for the host's own and for none at all.
fn network_of(
    network: bollard::models::Network,
    tables: &mut HashMap<String, (Instant, Table)>,
) -> Option<NetworkOf> {
    if matches!(network.driver.as_deref(), Some("host" | "null")) {
        return None;
    }
    let id = network.id?;
    let configured = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnets = configured.into_iter().filter_map(|config| Network::around_text(&config.subnet?)).collect();
    let table = tables.remove(&id);
    Some(NetworkOf { id, subnets, table })
}
