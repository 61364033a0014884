//! Which network something is of.

use crate::hash::DomainHasher;
use crate::{Domain, Hash};
use core::fmt;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which network this is: what its genesis names, and if its people restarted it, the last restart (`docs/spec/encoding.md` 3.4).
///
/// It stands in every signature and hash, so that nothing said on one network means anything on another. In hashes the genesis is
/// enough: what lies on disks and in the state is the same before and after a restart. In signatures a restart is another network.
///
/// Encoded as a byte string of 32 bytes, or of 64 after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId {
    genesis: [u8; 32],
    restart: Option<[u8; 32]>,
}

impl NetworkId {
    /// A network that nobody restarted.
    #[must_use]
    pub const fn new(genesis: [u8; 32]) -> Self {
        Self {
            genesis,
            restart: None,
        }
    }

    /// The network that begins with this genesis.
    #[must_use]
    pub fn derive(genesis: Hash) -> Self {
        let mut hasher = DomainHasher::without_network(Domain::Network);
        hasher.part(genesis.as_ref()).part(&0u64.to_be_bytes());
        Self::new(hasher.finish().0)
    }

    /// The network that its people made of this one by a plan, their restart number `restart_no`: two plans make two networks.
    #[must_use]
    pub fn restarted(&self, restart_no: u64, plan: &Hash) -> Self {
        let mut hasher = DomainHasher::without_network(Domain::Network);
        hasher
            .part(&self.genesis)
            .part(&restart_no.to_be_bytes())
            .part(plan.as_ref());
        Self {
            genesis: self.genesis,
            restart: Some(hasher.finish().0),
        }
    }

    /// What stands for it in hashes: the same before and after a restart.
    #[must_use]
    pub const fn in_hashes(&self) -> &[u8; 32] {
        &self.genesis
    }

    /// What stands for it in signatures: no two restarts have the same.
    #[must_use]
    pub const fn in_signatures(&self) -> &[u8; 32] {
        match &self.restart {
            Some(restart) => restart,
            None => &self.genesis,
        }
    }

    /// The network as it was before any restart.
    #[must_use]
    pub const fn first(&self) -> Self {
        Self::new(self.genesis)
    }

    /// Parses 64 hexadecimal digits, or 128 of a network that was restarted; `None` for any other text.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let first = Self::new(Hash::from_hex(text.get(..64)?)?.0);
        match text.get(64..)? {
            "" => Some(first),
            restart => Some(Self {
                restart: Some(Hash::from_hex(restart)?.0),
                ..first
            }),
        }
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.genesis.iter().chain(self.restart.iter().flatten());
        for byte in bytes {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkId({self})")
    }
}

impl Serialize for NetworkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.restart {
            None => serializer.serialize_bytes(&self.genesis),
            Some(restart) => serializer.serialize_bytes(&[self.genesis, *restart].concat()),
        }
    }
}

impl<'de> Deserialize<'de> for NetworkId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NetworkVisitor)
    }
}

struct NetworkVisitor;

impl Visitor<'_> for NetworkVisitor {
    type Value = NetworkId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 bytes, or 64 after a restart")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<NetworkId, E> {
        let wrong = || E::invalid_length(bytes.len(), &self);
        let (genesis, restart) = bytes.split_first_chunk::<32>().ok_or_else(wrong)?;
        let restart = match restart {
            [] => None,
            restart => Some(restart.try_into().map_err(|_| wrong())?),
        };
        let genesis = *genesis;
        Ok(NetworkId { genesis, restart })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    /// A restart is another network in signatures and the same one in hashes; its plan is part of its name. Covers: A1.
    #[test]
    fn a_restart_changes_signatures_and_no_hash() {
        let first = NetworkId::derive(Hash([3; 32]));
        let after = first.restarted(1, &Hash([4; 32]));
        let of_deal = |network| hash(Domain::Deal, network, &[b"deal"]);
        assert_eq!(of_deal(&first), of_deal(&after));
        let key = crate::SecretKey::from_seed([1; 32]);
        let signature = key.sign(Domain::Transaction, &first, b"pay");
        let holds = |network| {
            let check = crate::key::SignatureCheck::new(
                key.public(),
                Domain::Transaction,
                network,
                b"pay",
                signature,
            );
            check.holds()
        };
        assert!(holds(&first) && !holds(&after));
        assert_ne!(after, first.restarted(1, &Hash([5; 32])), "another plan");
        assert_ne!(after, first.restarted(2, &Hash([4; 32])), "another number");
        assert_eq!(after.first(), first);
        for (network, len) in [(first, 32), (after, 64)] {
            let bytes = crate::codec::encode(&network);
            assert_eq!(bytes.len(), 2 + len);
            assert_eq!(crate::codec::decode::<NetworkId>(&bytes, 128), Ok(network));
            let text = alloc::string::ToString::to_string(&network);
            assert_eq!(NetworkId::from_hex(&text), Some(network));
            assert_eq!(NetworkId::from_hex(&text[1..]), None);
        }
        let short = [&[0x58, 33][..], &[0; 33]].concat();
        assert!(crate::codec::decode::<NetworkId>(&short, 128).is_err());
    }
}
