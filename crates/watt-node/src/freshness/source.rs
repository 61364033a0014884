//! One node that is asked how things stand: over HTTP, or over a transfer stream at an address of the ledger.

use crate::api::ApiClient;
use crate::client::wire::{Wire, WireError};
use crate::error::CommandError;
use crate::keyfile;
use std::time::Duration;
use watt_engine::transfer::{ProofOf, ProofPart};
use watt_ledger::rows::{self, AccountRow};
use watt_light::freshness::Proven;
use watt_light::hand_over::InvalidHandOver;
use watt_light::restart::{Plans, network_after};
use watt_light::shown::{ENTRY_VALUE_BYTES_MAX, HAND_OVERS_MAX, InvalidShown};
use watt_light::{BlockName, HandOver, Shown, SignedNewest, Walk};
use watt_net::{Multiaddr, Net, PeerId};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NetworkId, NodeId, codec};

/// How long a node has for everything that it is asked, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// Where a node is asked.
#[derive(Clone, Debug)]
pub enum Place {
    /// At its public listener, or a gateway in front of it.
    Http(ApiClient),
    /// At the addresses that it gave, as this peer and no other.
    Peer {
        /// Its libp2p peer id.
        peer: PeerId,
        /// Where it is reached.
        addresses: Vec<Multiaddr>,
    },
}

/// A node that may be asked.
#[derive(Clone, Debug)]
pub struct Source {
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Whether it is the asker's own node.
    pub is_own: bool,
}

/// What a node told; its word was checked, and its proof if it gave one that holds.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The network identity that signed.
    pub(super) node: NodeId,
    pub(super) newest: BlockName,
    pub(super) shown: Option<Shown>,
    /// Why it proved nothing.
    pub(super) trouble: Option<String>,
}

/// Why a node's answer is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// It does not answer, or with a problem.
    #[error("{0}")]
    Api(String),
    /// The same over a transfer stream.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// It signed with another key than the one that it is known by, or not at all.
    #[error("its signature does not hold")]
    Unsigned,
    /// What it shows does not hold.
    #[error("its proof does not hold: {0}")]
    Invalid(#[from] InvalidShown),
    /// The plans to restart the network that it shows do not follow one another.
    #[error("its plans to restart the network do not follow one another")]
    Plans,
    /// It has another network: it follows restarts that the asker knows nothing of, or not those that the asker knows.
    #[error(
        "its proof is of the network {found}; if people told you that the network was restarted, name that one with --network"
    )]
    OtherNetwork {
        /// Its network.
        found: Box<NetworkId>,
    },
    /// It shows something else than it was asked for.
    #[error("it proved something else than it was asked for")]
    Other,
}

impl From<CommandError> for NoAnswer {
    fn from(error: CommandError) -> Self {
        Self::Api(error.message)
    }
}

/// Someone who asks: where trust begins, and the connection with which nodes are dialled.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) begin: &'a Walk,
    /// The network as the asker knows it, restarts included.
    pub(super) network: NetworkId,
    pub(super) net: Option<&'a Net>,
}

impl Asker<'_> {
    /// Asks for the newest block and its proof.
    pub(super) async fn ask(&self, source: &Source) -> Result<Told, NoAnswer> {
        let nonce = Hash(keyfile::random_bytes()?);
        let asking = async {
            let word = self.word(source, nonce).await?;
            let height = word.block.height;
            // Genesis needs no proof, and has none.
            let shown = match height {
                BlockHeight(0) => Err(NoAnswer::Other),
                _ => self.block(source, height).await,
            };
            let is_that = |shown: &Shown| Proven::by(&shown.finality).block == word.block;
            let shown = shown.and_then(|shown| {
                if is_that(&shown) {
                    Ok(shown)
                } else {
                    Err(NoAnswer::Other)
                }
            });
            let trouble = match &shown {
                Ok(_) => None,
                Err(_) if height == BlockHeight(0) => Some("it has no final block yet".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            Ok(Told {
                node: word.node,
                newest: word.block,
                shown: shown.ok(),
                trouble,
            })
        };
        in_time(asking).await
    }

    async fn word(&self, source: &Source, nonce: Hash) -> Result<SignedNewest, NoAnswer> {
        let (word, identity) = match &source.place {
            Place::Http(api) => {
                let word = api.newest(&nonce).await?.word().ok_or(NoAnswer::Unsigned)?;
                // Who it is nobody said; it is known by what it signs with.
                (word, word.node)
            }
            Place::Peer { peer, .. } => {
                let word = self.wire(source).await?.newest(nonce, None).await?;
                let key = watt_net::public_key(peer).ok_or(NoAnswer::Unsigned)?;
                (word, NodeId(key))
            }
        };
        if word.is_of(&self.network, &nonce, &identity) {
            Ok(word)
        } else {
            Err(NoAnswer::Unsigned)
        }
    }

    /// A proof that holds of the block at this height.
    pub(super) async fn block(&self, source: &Source, height: BlockHeight) -> Result<Shown, NoAnswer> {
        let shown = match &source.place {
            Place::Http(api) => api.shown_block(height).await?,
            Place::Peer { .. } => self.shown(source, ProofOf::Block { height }).await?,
        };
        self.verify(&shown)?;
        if shown.finality.header.height == height {
            Ok(shown)
        } else {
            Err(NoAnswer::Other)
        }
    }

    /// A proof that holds of what an account is: its row, if it exists, and after which block.
    pub(super) async fn account(
        &self,
        source: &Source,
        account: &AccountId,
    ) -> Result<(Proven, Option<AccountRow>), NoAnswer> {
        let asking = async {
            let shown = match &source.place {
                Place::Http(api) => api.shown_account(account).await?,
                Place::Peer { .. } => {
                    let of = ProofOf::Account { account: *account };
                    self.shown(source, of).await?
                }
            };
            self.verify(&shown)?;
            let entry = shown
                .entry
                .as_ref()
                .filter(|entry| *entry.key == *rows::account(account));
            let value = &entry.ok_or(NoAnswer::Other)?.value;
            let row = value
                .as_ref()
                .map(|value| codec::decode(value, ENTRY_VALUE_BYTES_MAX));
            let row = row.transpose().map_err(|_| NoAnswer::Other)?;
            Ok((Proven::by(&shown.finality), row))
        };
        in_time(asking).await
    }

    /// Whether these plans make the network that the asker knows: anybody can make up others.
    fn check_plans(&self, plans: &Plans) -> Result<(), NoAnswer> {
        let found = network_after(*self.begin.network(), plans.iter()).ok_or(NoAnswer::Plans)?;
        if found == self.network {
            return Ok(());
        }
        let found = Box::new(found);
        Err(NoAnswer::OtherNetwork { found })
    }

    fn verify(&self, shown: &Shown) -> Result<(), NoAnswer> {
        self.check_plans(&shown.plans)?;
        shown.verify(self.begin.clone())?;
        Ok(())
    }

    async fn wire(&self, source: &Source) -> Result<Wire, NoAnswer> {
        match (&source.place, self.net) {
            (Place::Peer { peer, addresses }, Some(net)) => {
                Ok(Wire::reach(net, self.network, *peer, addresses).await?)
            }
            (Place::Peer { .. } | Place::Http(_), _) => Err(NoAnswer::Other),
        }
    }

    /// What a node shows over a transfer stream, with the way to the backbone that made it final.
    async fn shown(&self, source: &Source, of: ProofOf) -> Result<Shown, NoAnswer> {
        let mut wire = self.wire(source).await?;
        let ProofPart {
            plans,
            finality,
            entry,
        } = wire.proof(of).await?;
        self.check_plans(&plans)?;
        let wanted = self.begin.terms().of_height(finality.header.height.next());
        let mut walk = self.begin.clone().following(plans.iter().cloned());
        let mut hand_overs = Vec::<HandOver>::new();
        while walk.term() < wanted && hand_overs.len() < HAND_OVERS_MAX {
            let page = wire.hand_overs(walk.term()).await?;
            if page.is_empty() {
                return Err(NoAnswer::Other);
            }
            for one in page {
                if walk.term() < wanted {
                    // Each page is checked before the next is asked for, so that nobody leads on without end.
                    walk.step(&one)
                        .map_err(|error: InvalidHandOver| InvalidShown::from(error))?;
                    hand_overs.push(one);
                }
            }
        }
        Ok(Shown {
            plans,
            hand_overs: BoundedVec::new(hand_overs).map_err(|_| NoAnswer::Other)?,
            finality,
            entry,
        })
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    let patience = Duration::from_millis(PATIENCE_MS);
    tokio::time::timeout(patience, asking)
        .await
        .unwrap_or(Err(NoAnswer::Late))
}
