//! The file that `watt chain proof` writes and `watt verify` reads: what is shown about the ledger, with the genesis document, so
//! that the network's id is all that a reader has to know (`docs/spec/light.md` §6).

use serde::{Deserialize, Serialize};
use watt_ledger::Genesis;
use watt_ledger::genesis::{GENESIS_BYTES_MAX, InvalidGenesis};
use watt_ledger::rows::{self, AccountRow};
use watt_light::finality::InvalidFinality;
use watt_light::hand_over::{HAND_OVER_BYTES_MAX, InvalidHandOver};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::restart::{PLAN_BYTES_MAX, RESTARTS_MAX};
use watt_light::shown::{ENTRY_VALUE_BYTES_MAX, HAND_OVERS_MAX, InvalidShown};
use watt_light::{Evidence, Header, Shown, Walk};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{AccountId, BoundedString, NetworkId, NodeId};

/// What a proof file says it is.
const FORMAT: &str = "watt-proof/2";

/// The most bytes of what is shown.
pub const SHOWN_BYTES_MAX: usize =
    HAND_OVERS_MAX * HAND_OVER_BYTES_MAX + ENTRY_VALUE_BYTES_MAX + RESTARTS_MAX * PLAN_BYTES_MAX + (64 << 10);

/// The most bytes of a proof file.
pub const PROOF_FILE_BYTES_MAX: usize = GENESIS_BYTES_MAX + SHOWN_BYTES_MAX;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofFile {
    format: BoundedString<16>,
    genesis: Genesis,
    shown: Shown,
}

/// What a proof file proves.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The network that it is about.
    pub network: NetworkId,
    /// Whether it is the main network.
    pub is_main: bool,
    /// The final header.
    pub header: Header,
    /// Entries of the backbone that vouch for it.
    pub n_votes: usize,
    /// Entries of the backbone.
    pub n_entries: usize,
    /// The account that is shown, and what it is after the block; none if it does not exist.
    pub account: Option<(AccountId, Option<AccountRow>)>,
    /// Terms over which the way leads from the first backbone to the one that vouches.
    pub n_hand_overs: usize,
    shown: Shown,
    begin: Walk,
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProofFile {
    /// It is no proof file, or a damaged one.
    #[error("this is no proof file, or it is damaged: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// Written by another version of the program.
    #[error("the proof file is of the format {found}, this program reads {FORMAT}")]
    Format {
        /// What it says.
        found: String,
    },
    /// It was made under rules that this program does not know.
    #[error(
        "the network follows version {version} of its rules: this program is too old for the proof, which may well hold"
    )]
    Newer {
        /// Which.
        version: u32,
    },
    /// Its restarts do not follow one another.
    #[error("the restarts of the network do not follow one another")]
    Restarts,
    /// It is about another network.
    #[error("the proof is about the network {found}, not about {wanted}")]
    OtherNetwork {
        /// The file's.
        found: Box<NetworkId>,
        /// The reader's.
        wanted: Box<NetworkId>,
    },
    /// Its genesis document is none.
    #[error("the genesis document in it is refused: {0}")]
    Genesis(#[from] InvalidGenesis),
    /// It does not hold.
    #[error("the proof does not hold: {0}")]
    Shown(#[from] InvalidShown),
    /// It shows an entry that is no account.
    #[error("the proof shows an entry of the ledger that is no account")]
    NoAccount,
}

/// The bytes of a proof file.
#[must_use]
pub fn encode(genesis: Genesis, shown: Shown) -> Vec<u8> {
    codec::encode(&ProofFile {
        format: BoundedString::new(FORMAT.to_owned()).unwrap_or_default(),
        genesis,
        shown,
    })
}

/// Checks a proof file with nothing but the network's id.
///
/// # Errors
/// See [`InvalidProofFile`].
pub fn verify(bytes: &[u8], network: &NetworkId) -> Result<Verified, InvalidProofFile> {
    let file: ProofFile =
        codec::decode(bytes, PROOF_FILE_BYTES_MAX).map_err(|error| newer(bytes, network, error))?;
    if file.format.as_str() != FORMAT {
        return Err(InvalidProofFile::Format {
            found: file.format.as_str().to_owned(),
        });
    }
    let found = file.shown.network(file.genesis.network());
    let found = found.ok_or(InvalidProofFile::Restarts)?;
    if found != *network {
        return Err(InvalidProofFile::OtherNetwork {
            found: Box::new(found),
            wanted: Box::new(*network),
        });
    }
    let begin = file.genesis.walk()?;
    let backbone = file.shown.verify(begin.clone()).map_err(refused)?;
    let account = file.shown.entry.as_ref().map(|entry| {
        let id = rows::account_of(&entry.key).ok_or(InvalidProofFile::NoAccount)?;
        let row = entry
            .value
            .as_ref()
            .map(|value| codec::decode(value, ENTRY_VALUE_BYTES_MAX));
        Ok::<_, InvalidProofFile>((id, row.transpose()?))
    });
    Ok(Verified {
        network: found,
        is_main: file.genesis.is_main,
        header: file.shown.finality.header.clone(),
        n_votes: file.shown.finality.decision.votes.len(),
        n_entries: backbone.entries().len(),
        account: account.transpose()?,
        n_hand_overs: file.shown.hand_overs.len(),
        shown: file.shown,
        begin,
    })
}

/// What every version of the rules leaves where it is, so that an old program can tell a proof from a newer network from none
/// (`docs/spec/upgrades.md` §4).
#[derive(Deserialize)]
struct FrozenFile {
    shown: FrozenShown,
}

#[derive(Deserialize)]
struct FrozenShown {
    finality: FrozenProof,
}

#[derive(Deserialize)]
struct FrozenProof {
    header: FrozenHeader,
}

#[derive(Deserialize)]
struct FrozenHeader {
    version: u32,
    network: NetworkId,
}

/// Why a file can't be read.
fn newer(bytes: &[u8], network: &NetworkId, error: InvalidEncoding) -> InvalidProofFile {
    let header =
        codec::peek::<FrozenFile>(bytes, PROOF_FILE_BYTES_MAX).map(|file| file.shown.finality.header);
    let is_newer =
        |header: &FrozenHeader| header.network == *network && header.version > PROTOCOL_VERSION_MAX;
    match header.filter(is_newer) {
        Some(FrozenHeader { version, .. }) => InvalidProofFile::Newer { version },
        None => InvalidProofFile::Encoding(error),
    }
}

/// Why what is shown is not believed.
fn refused(invalid: InvalidShown) -> InvalidProofFile {
    match invalid {
        InvalidShown::Finality(InvalidFinality::UnknownVersion { version })
        | InvalidShown::Way(InvalidHandOver::Finality(InvalidFinality::UnknownVersion { version })) => {
            InvalidProofFile::Newer { version }
        }
        other => InvalidProofFile::Shown(other),
    }
}

impl Verified {
    /// Who contradicted themselves, if this and `other` can't both be; perhaps nobody whom the two files prove it of.
    #[must_use]
    pub fn contradictors(&self, other: &Self) -> Option<Vec<NodeId>> {
        self.shown.contradictors(&other.shown, self.begin.clone())
    }

    /// What proves of each of them that they did, as the ledger takes it; `None` if this and `other` can both be.
    #[must_use]
    pub fn evidence(&self, other: &Self) -> Option<Vec<Evidence>> {
        self.shown.evidence(&other.shown, self.begin.clone())
    }
}

#[cfg(test)]
mod tests;
