//! `watt peers check`.

use super::suggested;
use crate::api::{ApiClient, NodeInfo};
use crate::cli::session::Session;
use crate::cli::verify;
use crate::config::Overrides;
use crate::context::Context;
use crate::devnet::Registry;
use crate::error::{CommandError, ErrorKind};
use crate::freshness::{self, Check, Place, Question, Source};
use crate::ui::{Table, time_text};
use clap::Args;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use watt_light::freshness::{Light, SOURCES_MAX};
use watt_net::{Multiaddr, PeerId, multiaddr};
use watt_primitives::{AccountId, NetworkId, NodeId, Timestamp};

/// Whether the ledger that you see is so, and new: green, amber or red
///
/// Asks your own node; if that is not enough, up to nine others (`watt peers suggest`), or those that you name. What they prove is so,
/// whoever says it, and your balance is shown as it was proven. Green: the newest proven block is less than a minute old, and two
/// independent sources see it, or your own node does. Amber: what is shown is so, and there may be news. Red: two proofs contradict
/// each other; both are kept as files, and `watt seat report` hands in who signed both.
///
/// Exit codes: 0 green, 4 amber, 8 red.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt peers check\n  watt peers check --json | jq -r .light\n  watt peers check http://192.168.1.20:28471 /ip4/203.0.113.7/tcp/28470/p2p/12D3Koo…"
)]
pub(in crate::cli) struct CheckArgs {
    /// Nodes to ask, at most nine: http://HOST:PORT of a public listener, or a multiaddress with a peer id
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// The network's id: 64 hexadecimal digits, or 128 of one that was restarted [default: that of the devnet you run, else what your own node says]
    #[arg(long, value_name = "ID", value_parser = verify::network_id)]
    network: Option<NetworkId>,
}

pub(super) async fn run(session: &Session, args: CheckArgs) -> Result<(), CommandError> {
    let named = args.sources.iter().map(|text| source(text));
    let named: Vec<Source> = named.collect::<Result<_, _>>()?;
    if named.len() > SOURCES_MAX {
        let message = format!("{} sources are named, {SOURCES_MAX} can be asked", named.len());
        return Err(CommandError::new(ErrorKind::Usage, message, "name fewer"));
    }
    let devnet = Registry::read(&session.home)?.and_then(|registry| NetworkId::from_hex(&registry.network));
    let is_meant = |network: &NetworkId| match (args.network, devnet) {
        (Some(wanted), _) => *network == wanted,
        // One's own devnet may have been restarted since.
        (None, Some(devnet)) => network.first() == devnet,
        (None, None) => true,
    };
    let is_known = args.network.or(devnet).is_some();
    let context = context(session, &args.sources, is_known, is_meant).await?;
    let known = context
        .api
        .nodes()
        .await
        .map(|known| known.nodes)
        .unwrap_or_default();
    let person = context.account().ok().map(|account| account.id);
    let operators = operators(&context, &known);
    let evidence_dir = context.home.client_dir(&context.network).join("evidence");
    let question = Question {
        genesis: &context.genesis,
        network: context.network,
        operators: &operators,
        is_devnet: devnet == Some(context.network.first()),
        account: person,
        evidence_dir: &evidence_dir,
    };
    let progress = session.ui.spinner("sources");
    progress.message("asking");
    let mut check = if named.is_empty() {
        freshness::check(&question, &[own(&context)?], now).await?
    } else {
        freshness::check(&question, &named, now).await?
    };
    if named.is_empty() && check.light == Light::Amber {
        let person = person.unwrap_or(AccountId([0; 20]));
        let mut sources = vec![own(&context)?];
        // Whom to ask one's own node tells, if it tells anything.
        for peer in suggested(session, &context, person, &known)
            .await
            .unwrap_or_default()
        {
            sources.extend(of_peer(&peer.operator, &peer.peer_id, &peer.addresses));
        }
        if sources.len() > 1 {
            check = freshness::check(&question, &sources, now).await?;
        }
    }
    drop(progress);
    session.ui.result(&check, || text(&check))?;
    // The result says it all; the rest is its exit code.
    match check.light {
        Light::Green => Ok(()),
        Light::Amber => Err(CommandError::new(ErrorKind::Temporary, "", "")),
        Light::Red => Err(CommandError::new(ErrorKind::VerificationFailed, "", "")),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The network: as one's own node tells it, or, if its id is known, the first source that has that one's genesis document.
async fn context(
    session: &Session,
    sources: &[String],
    is_known: bool,
    is_meant: impl Fn(&NetworkId) -> bool,
) -> Result<Context, CommandError> {
    let own = session.context().await;
    match own {
        Ok(context) if is_meant(&context.network) => return Ok(context),
        Err(error) if !is_known => return Err(error),
        Ok(_) | Err(_) => {}
    }
    for base in sources.iter().filter(|text| is_http(text)) {
        let settings = session.settings(Overrides {
            api: Some(base.clone()),
            ..Overrides::default()
        })?;
        if let Ok(context) = Context::connect(&settings, &session.home).await
            && is_meant(&context.network)
        {
            return Ok(context);
        }
    }
    Err(CommandError::new(
        ErrorKind::Temporary,
        "nobody who was asked has the genesis document of this network",
        "name a node of it, http://HOST:PORT, or the network that you mean with --network ID",
    ))
}

fn own(context: &Context) -> Result<Source, CommandError> {
    let base = context.api.base().to_owned();
    Ok(Source {
        is_own: is_loopback(&base),
        place: Place::Http(client(&base)?.on_network(context.genesis.is_main)),
        name: base,
    })
}

fn client(base: &str) -> Result<ApiClient, CommandError> {
    ApiClient::new(&[base.to_owned()], "check the address")
}

fn is_http(text: &str) -> bool {
    text.starts_with("http://")
}

/// Whether a base address is on this machine.
fn is_loopback(base: &str) -> bool {
    let host = base.strip_prefix("http://").unwrap_or(base);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|prefix| host.starts_with(prefix))
}

/// A source that the person named.
fn source(text: &str) -> Result<Source, CommandError> {
    if is_http(text) {
        return Ok(Source {
            name: text.to_owned(),
            place: Place::Http(client(text)?),
            is_own: false,
        });
    }
    let none = || {
        CommandError::new(
            ErrorKind::Usage,
            format!("`{text}` is no address of a node"),
            "write http://HOST:PORT, or a multiaddress that ends with /p2p/ and the peer id",
        )
    };
    let address: Multiaddr = text.parse().map_err(|_| none())?;
    let peer = address.iter().find_map(|part| match part {
        multiaddr::Protocol::P2p(peer) => Some(peer),
        _ => None,
    });
    Ok(Source {
        name: text.to_owned(),
        place: Place::Peer {
            peer: peer.ok_or_else(none)?,
            addresses: vec![address],
        },
        is_own: false,
    })
}

/// A node of the ledger's list; `None` if what it declared can't be dialled.
fn of_peer(operator: &str, peer_id: &str, addresses: &[String]) -> Option<Source> {
    let addresses: Vec<Multiaddr> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    Some(Source {
        name: format!("a node of {operator}"),
        place: Place::Peer {
            peer: peer_id.parse().ok()?,
            addresses,
        },
        is_own: false,
    })
}

/// Who runs the nodes that the ledger knows.
fn operators(context: &Context, known: &[NodeInfo]) -> BTreeMap<NodeId, AccountId> {
    let operator = |node: &NodeInfo| {
        let peer: PeerId = node.peer_id.parse().ok()?;
        let key = watt_net::public_key(&peer)?;
        Some((NodeId(key), context.parse_address(&node.operator).ok()?))
    };
    known.iter().filter_map(operator).collect()
}

fn text(check: &Check) -> String {
    let mut text = check.sentence.clone();
    if !check.next.is_empty() {
        text.push_str(&format!("\n  next: {}", check.next));
    }
    if let Some(proven) = &check.balance {
        text.push_str(&format!(
            "\nyour balance: {} WATT, proven after block {} ({})",
            proven.balance,
            proven.height,
            time_text(proven.at)
        ));
    }
    let mut table = Table::new(&["SOURCE", "NEWEST", "PROVEN", ""]);
    for source in &check.sources {
        table.row([
            source.source.clone(),
            source
                .height
                .map_or_else(|| "no answer".to_owned(), |height| height.to_string()),
            if source.is_proven { "yes" } else { "no" }.to_owned(),
            source.trouble.clone().unwrap_or_default(),
        ]);
    }
    text.push_str(&format!("\n\n{table}"));
    for path in &check.evidence {
        text.push_str(&format!("\nkept: {}", path.display()));
    }
    text
}
