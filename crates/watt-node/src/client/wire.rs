//! One conversation with one node over a transfer stream.

use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use watt_engine::transfer::{FRAME_BYTES_MAX, Objects, ProofOf, ProofPart, Refusal, Reply, Request};
use watt_light::{Acceptance, HandOver, SignedNewest, Verdict};
use watt_net::{Multiaddr, Net, PeerId, TransferStream};
use watt_primitives::terms::Endpoint;
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal, Term};

/// How long a holder has to answer a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How long a node has to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(12);

/// How slowly openings may come.
const OPENINGS_BYTES_PER_SECOND: u64 = 100_000;

/// How long a node has to prove something: about the newest block it waits for the next.
const PROOF_PATIENCE: Duration = Duration::from_secs(20);

/// The longest wait that a holder is believed before it is asked again.
const UNSEALING_MAX: Duration = Duration::from_secs(30);

/// A holder of a slot: who, by which deal, and where it is reached.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) provider: AccountId,
    pub(super) deal: DealId,
    pub(super) slot: SlotIndexInDeal,
    pub(super) endpoint: Endpoint,
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Not reachable.
    #[error("not reachable ({0})")]
    Unreachable(String),
    /// It answered, and said no.
    #[error("{reason}{}", Detail(detail))]
    Refused { reason: Refusal, detail: String },
    /// The bytes lie in a sealed replica, and have to be given back from it.
    #[error("its share is sealed, and takes about {} s to be unsealed", .takes.as_secs())]
    Unsealing {
        /// How long it takes or still takes.
        takes: Duration,
    },
    /// The connection broke.
    #[error("the connection broke ({0})")]
    Broken(#[from] std::io::Error),
    /// It answered something else than was asked.
    #[error("it does not keep to the protocol")]
    Protocol,
    /// It accepted with a key that the ledger would refuse.
    #[error("it signed with a key that is not its account's on the ledger")]
    StrangeKey,
    /// It accepted with a signature that does not hold.
    #[error("its signature does not hold")]
    BadSignature,
}

impl WireError {
    /// Whether the same holder may take the same bytes a little later.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Unsealing { .. } => true,
            Self::Refused { reason, .. } => match reason {
                Refusal::Busy | Refusal::NotMatched | Refusal::WrongRoot => true,
                Refusal::OtherNetwork
                | Refusal::NotTheDeal
                | Refusal::NotHeld
                | Refusal::OutOfRange
                | Refusal::NoSpace
                | Refusal::Damaged
                | Refusal::Trouble
                | Refusal::NotShown
                | Refusal::NotAVerdict
                | Refusal::NotProven => false,
            },
            Self::Unreachable(_) | Self::Protocol | Self::StrangeKey | Self::BadSignature => false,
        }
    }
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// An open conversation.
pub(crate) struct Wire {
    stream: TransferStream,
    network: NetworkId,
}

impl Wire {
    pub(super) async fn open(net: &Net, network: NetworkId, holder: &Holder) -> Result<Self, WireError> {
        Self::at(net, network, &holder.endpoint).await
    }

    /// Opens a conversation with a provider where the ledger says it is.
    pub(crate) async fn at(net: &Net, network: NetworkId, endpoint: &Endpoint) -> Result<Self, WireError> {
        let peer: PeerId = endpoint
            .peer_id
            .as_str()
            .parse()
            .map_err(|_| WireError::Unreachable("it declared no peer id".to_owned()))?;
        let addresses: Vec<Multiaddr> = endpoint
            .addresses
            .iter()
            .filter_map(|address| address.as_str().parse().ok())
            .collect();
        Self::reach(net, network, peer, &addresses).await
    }

    /// Opens a conversation with a node, dialling it at `addresses` if it is not connected.
    pub(crate) async fn reach(
        net: &Net,
        network: NetworkId,
        peer: PeerId,
        addresses: &[Multiaddr],
    ) -> Result<Self, WireError> {
        let unreachable = |why: String| WireError::Unreachable(why);
        let opening = net.open_transfer(peer, addresses);
        let stream = timeout(CONNECT_PATIENCE, opening)
            .await
            .map_err(|_| unreachable("no answer".to_owned()))?
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Self { stream, network })
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, WireError> {
        self.ask_within(ANSWER_PATIENCE, request).await
    }

    async fn ask_within(&mut self, patience: Duration, request: &Request) -> Result<Reply, WireError> {
        let asking = async {
            self.stream.write_frame(&request.encode()).await?;
            self.hear().await
        };
        timeout(patience, asking)
            .await
            .unwrap_or_else(|_| Err(WireError::Broken(std::io::ErrorKind::TimedOut.into())))
    }

    async fn hear(&mut self) -> Result<Reply, WireError> {
        let bytes = self.stream.read_frame(FRAME_BYTES_MAX).await?;
        match Reply::decode(&bytes).map_err(|_| WireError::Protocol)? {
            Reply::Refused { reason, detail } => Err(WireError::Refused {
                reason,
                detail: detail.as_str().to_owned(),
            }),
            Reply::Unsealing { seconds } => Err(WireError::Unsealing {
                takes: Duration::from_secs(u64::from(seconds)).min(UNSEALING_MAX),
            }),
            reply @ (Reply::Ready { .. }
            | Reply::Accepted { .. }
            | Reply::Outboard { .. }
            | Reply::Objects(_)
            | Reply::Openings { .. }
            | Reply::Taken {}
            | Reply::Newest(_)
            | Reply::Proof(_)
            | Reply::HandOvers { .. }) => Ok(reply),
        }
    }

    /// Asks which block is the newest that is final there, none above `at`; unchecked.
    pub(crate) async fn newest(
        &mut self,
        nonce: Hash,
        at: Option<BlockHeight>,
    ) -> Result<SignedNewest, WireError> {
        let network = self.network;
        let Reply::Newest(word) = self.ask(&Request::Newest { network, nonce, at }).await? else {
            return Err(WireError::Protocol);
        };
        Ok(word)
    }

    /// Asks for a proof, hand-overs left out; unchecked.
    pub(crate) async fn proof(&mut self, of: ProofOf) -> Result<ProofPart, WireError> {
        let network = self.network;
        let Reply::Proof(part) = self
            .ask_within(PROOF_PATIENCE, &Request::Proof { network, of })
            .await?
        else {
            return Err(WireError::Protocol);
        };
        Ok(*part)
    }

    /// Asks for the openings of a batch, at most `max` bytes, as slow as [`OPENINGS_BYTES_PER_SECOND`]; unchecked.
    pub(crate) async fn openings(&mut self, batch: SectorNumber, max: usize) -> Result<Vec<u8>, WireError> {
        let network = self.network;
        let Reply::Openings { len } = self.ask(&Request::Openings { network, batch }).await? else {
            return Err(WireError::Protocol);
        };
        let takes = Duration::from_secs(u64::from(len) / OPENINGS_BYTES_PER_SECOND);
        let len = usize::try_from(len).ok().filter(|len| *len <= max);
        let mut openings = vec![0; len.ok_or(WireError::Protocol)?];
        let reading = self.stream.read_exact(&mut openings);
        timeout(ANSWER_PATIENCE.saturating_add(takes), reading)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        Ok(openings)
    }

    /// Hands a verdict on a batch back.
    pub(crate) async fn verdict(
        &mut self,
        batch: SectorNumber,
        openings: Hash,
        verdict: Verdict,
    ) -> Result<(), WireError> {
        let request = Request::Verdict {
            network: self.network,
            batch,
            openings,
            verdict,
        };
        let Reply::Taken {} = self.ask(&request).await? else {
            return Err(WireError::Protocol);
        };
        Ok(())
    }

    /// Asks for hand-overs of the terms from `from` on; unchecked.
    pub(crate) async fn hand_overs(&mut self, from: Term) -> Result<Vec<HandOver>, WireError> {
        let network = self.network;
        let Reply::HandOvers { hand_overs } = self.ask(&Request::HandOvers { network, from }).await? else {
            return Err(WireError::Protocol);
        };
        Ok(hand_overs.into_inner())
    }

    /// Begins an upload; says from which byte to go on, or that the slot is there already.
    pub(super) async fn put(
        &mut self,
        deal: DealId,
        slot: SlotIndexInDeal,
        len: u64,
        root: Hash,
        objects: Objects,
    ) -> Result<Result<u64, Acceptance>, WireError> {
        let objects = Box::new(objects);
        match self
            .ask(&Request::Put {
                network: self.network,
                deal,
                slot,
                len,
                root,
                objects,
            })
            .await?
        {
            Reply::Ready { from } if from <= len => Ok(Ok(from)),
            Reply::Accepted { acceptance } => Ok(Err(acceptance)),
            Reply::Ready { .. }
            | Reply::Unsealing { .. }
            | Reply::Outboard { .. }
            | Reply::Objects(_)
            | Reply::Openings { .. }
            | Reply::Taken {}
            | Reply::Newest(_)
            | Reply::Proof(_)
            | Reply::HandOvers { .. }
            | Reply::Refused { .. } => Err(WireError::Protocol),
        }
    }

    /// Sends raw bytes of an upload.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Ends an upload: waits until the holder has the slot durably and signs for it.
    pub(super) async fn accepted(&mut self) -> Result<Acceptance, WireError> {
        self.stream.flush().await?;
        let Reply::Accepted { acceptance } = self.hear().await? else {
            return Err(WireError::Protocol);
        };
        Ok(acceptance)
    }

    pub(super) async fn objects(&mut self, deal: DealId) -> Result<Objects, WireError> {
        let Reply::Objects(objects) = self
            .ask(&Request::Objects {
                network: self.network,
                deal,
            })
            .await?
        else {
            return Err(WireError::Protocol);
        };
        Ok(*objects)
    }

    pub(super) async fn outboard(
        &mut self,
        deal: DealId,
        slot: SlotIndexInDeal,
    ) -> Result<Vec<Hash>, WireError> {
        let Reply::Outboard { groups } = self
            .ask(&Request::Outboard {
                network: self.network,
                deal,
                slot,
            })
            .await?
        else {
            return Err(WireError::Protocol);
        };
        Ok(groups.into_inner())
    }

    /// Begins a read of `len` bytes from `offset`; take them with [`Self::receive`].
    pub(super) async fn read(
        &mut self,
        deal: DealId,
        slot: SlotIndexInDeal,
        offset: u64,
        len: u64,
    ) -> Result<(), WireError> {
        match self
            .ask(&Request::Read {
                network: self.network,
                deal,
                slot,
                offset,
                len,
            })
            .await?
        {
            Reply::Ready { from } if from == offset => Ok(()),
            Reply::Ready { .. }
            | Reply::Accepted { .. }
            | Reply::Unsealing { .. }
            | Reply::Outboard { .. }
            | Reply::Objects(_)
            | Reply::Openings { .. }
            | Reply::Taken {}
            | Reply::Newest(_)
            | Reply::Proof(_)
            | Reply::HandOvers { .. }
            | Reply::Refused { .. } => Err(WireError::Protocol),
        }
    }

    /// Has a sealed share made readable; returns how long that takes.
    pub(super) async fn unseal(
        &mut self,
        deal: DealId,
        slot: SlotIndexInDeal,
    ) -> Result<Duration, WireError> {
        let network = self.network;
        match self.ask(&Request::Unseal { network, deal, slot }).await {
            Err(WireError::Unsealing { takes }) => Ok(takes),
            Err(error) => Err(error),
            Ok(_) => Err(WireError::Protocol),
        }
    }

    /// Fills `bytes` with what a read sends.
    pub(super) async fn receive(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        self.stream.read_exact(bytes).await?;
        Ok(())
    }
}
