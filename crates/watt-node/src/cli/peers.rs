//! `watt peers`.

mod check;

use super::session::Session;
use crate::api::NodeInfo;
use crate::config::create_private_dir;
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile::{self, write_new_private};
use crate::ui::{Table, Ui};
use check::CheckArgs;
use clap::Subcommand;
use serde::Serialize;
use std::collections::BTreeMap;
use watt_net::Multiaddr;
use watt_net::multiaddr::Protocol;
use watt_primitives::{AccountId, BoundedVec, Hash, LedgerTime};
use watt_trust::nodes::{Asker, DEPTH_MAX, Node, PEOPLE_MAX, Prefix, Reason, suggest};
use watt_trust::{Circle, TrustEdge};

/// Which nodes to ask
#[derive(Debug, Subcommand)]
pub(super) enum PeersCommand {
    /// Suggest nodes for a phone: some of people near in your trust, some drawn among those whom many trust
    #[command(
        long_about = "Suggest nodes for a phone: some of people near in your trust, some drawn among those whom many trust.\n\nNo two are of one person, nor in one network while there are others. Who is drawn depends on a secret that stays on this machine. Whether an answer is true a proof tells, whoever gives it; several nodes make sure that answers are fresh, and that nobody can cut you off.",
        after_help = "Examples:\n  watt peers suggest\n  watt peers suggest --json | jq -r '.peers[].addresses[0]'"
    )]
    Suggest,
    Check(CheckArgs),
}

/// A node to ask.
#[derive(Clone, Debug, Serialize)]
struct Peer {
    operator: String,
    peer_id: String,
    addresses: Vec<String>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<usize>,
}

pub(super) async fn run(session: &Session, command: PeersCommand) -> Result<(), CommandError> {
    match command {
        PeersCommand::Suggest => suggest_peers(session).await,
        PeersCommand::Check(args) => check::run(session, args).await,
    }
}

async fn suggest_peers(session: &Session) -> Result<(), CommandError> {
    let context = session.context().await?;
    let person = context.account()?.id;
    let known = context.api.nodes().await?.nodes;
    let peers = suggested(session, &context, person, &known).await?;
    session
        .ui
        .result(&serde_json::json!({ "peers": peers }), || text(&context, &peers))
}

/// Which of the nodes that are known this person asks.
async fn suggested(
    session: &Session,
    context: &Context,
    person: AccountId,
    known: &[NodeInfo],
) -> Result<Vec<Peer>, CommandError> {
    let asker = Asker {
        person,
        salt: salt(context)?,
        network: context.network,
    };
    let mut ranks = BTreeMap::new();
    let mut nodes = Vec::new();
    for node in known {
        let operator = context.parse_address(&node.operator)?;
        ranks.insert(operator, node.rank.parse().unwrap_or(0));
        nodes.push(Node {
            operator,
            prefix: node.addresses.iter().find_map(|address| prefix(address)),
            name: node.peer_id.clone(),
        });
    }
    let circles = circles(context, &session.ui, asker.person).await?;
    let chosen = suggest(
        &asker,
        &nodes,
        |person| ranks.get(person).copied().unwrap_or(0),
        LedgerTime(0),
        |person| circles.get(person).cloned().unwrap_or_default(),
    );
    let peers = chosen.iter().filter_map(|one| {
        let node = known.iter().find(|node| node.peer_id == one.node.name)?;
        let (reason, depth) = match one.reason {
            Reason::Near { depth } => ("near", Some(depth)),
            Reason::Drawn => ("drawn", None),
            Reason::Unranked => ("unranked", None),
        };
        Some(Peer {
            operator: node.operator.clone(),
            peer_id: node.peer_id.clone(),
            addresses: node.addresses.clone(),
            reason,
            depth,
        })
    });
    Ok(peers.collect())
}

/// The circles of everybody less than [`DEPTH_MAX`] steps of trust away, as far as they are looked at. What a node tells of them has
/// ended trust left out already.
async fn circles(
    context: &Context,
    ui: &Ui,
    person: AccountId,
) -> Result<BTreeMap<AccountId, Circle>, CommandError> {
    let progress = ui.spinner("trust");
    let mut circles = BTreeMap::new();
    let mut people = vec![person];
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for one in people {
            if circles.len() >= PEOPLE_MAX || circles.contains_key(&one) {
                continue;
            }
            let trust = context.api.circle(&one).await?;
            let edges = trust.circle.iter().map(|member| {
                Ok(TrustEdge {
                    to: context.parse_address(&member.address)?,
                    level: member.level,
                    since: LedgerTime(member.since),
                    expires_at: LedgerTime(member.expires_at),
                })
            });
            let edges: Vec<TrustEdge> = edges.collect::<Result<_, CommandError>>()?;
            next.extend(edges.iter().map(|edge| edge.to));
            let edges = BoundedVec::new(edges).map_err(|_| {
                let message = format!("{} tells of a circle with too many people", context.api.base());
                CommandError::new(
                    ErrorKind::VerificationFailed,
                    message,
                    "ask another node with --api URL",
                )
            })?;
            circles.insert(
                one,
                Circle {
                    edges,
                    newest: BoundedVec::empty(),
                },
            );
            progress.message(format!("{} circles", circles.len()));
        }
        people = next;
    }
    Ok(circles)
}

/// The secret on which it depends who is drawn, made when it is first needed.
fn salt(context: &Context) -> Result<Hash, CommandError> {
    let dir = context.home.client_dir(&context.network);
    create_private_dir(&dir)?;
    let path = dir.join("peers.salt");
    match std::fs::read(&path) {
        Ok(bytes) => {
            let damaged = |_| {
                let message = format!("{} is not 32 bytes", path.display());
                let hint = "delete it: another one is made, and other nodes are suggested";
                CommandError::new(ErrorKind::VerificationFailed, message, hint)
            };
            Ok(Hash(bytes.try_into().map_err(damaged)?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let salt: [u8; 32] = keyfile::random_bytes()?;
            write_new_private(&path, &salt)?;
            Ok(Hash(salt))
        }
        Err(error) => Err(CommandError::file("read", &path, &error)),
    }
}

/// In which network an address is; `None` if it names a host, or is none.
fn prefix(address: &str) -> Option<Prefix> {
    let address: Multiaddr = address.parse().ok()?;
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => {
            let [a, b, ..] = ip.octets();
            Some(Prefix::V4([a, b]))
        }
        Protocol::Ip6(ip) => {
            let [a, b, c, d, ..] = ip.octets();
            Some(Prefix::V6([a, b, c, d]))
        }
        _ => None,
    })
}

fn text(context: &Context, peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no node has its address on the ledger yet: those who lend space have".to_owned();
    }
    let mut table = Table::new(&["NODE OF", "WHY", "ADDRESS"]);
    for peer in peers {
        let why = match (peer.depth, peer.reason) {
            (Some(1), _) => "in your circle".to_owned(),
            (Some(depth), _) => format!("{depth} steps of trust away"),
            (None, "drawn") => "drawn by rank".to_owned(),
            (None, _) => "drawn; nobody vouches for it".to_owned(),
        };
        let id = context.parse_address(&peer.operator);
        let name = id.map_or_else(|_| peer.operator.clone(), |id| context.name_of(&id));
        table.row([name, why, peer.addresses.first().cloned().unwrap_or_default()]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_network() {
        assert_eq!(prefix("/ip4/203.0.113.7/tcp/1"), Some(Prefix::V4([203, 0])));
        assert_eq!(
            prefix("/ip6/2001:db8::1/udp/1/quic-v1"),
            Some(Prefix::V6([0x20, 1, 0x0d, 0xb8]))
        );
        assert_eq!(prefix("/dns4/example.org/tcp/1"), None);
        assert_eq!(prefix("nonsense"), None);
    }
}
