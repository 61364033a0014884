//! Folded proofs: the parameters of both shapes, and which proofs hold (`docs/spec/proofs.md` §10 to §12).

use super::apply::guarded;
use super::storage::trouble;
use crate::error::CommandError;
use crate::lock::locked;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use watt_ledger::VerifyFolded;
use watt_ledger::folded::FOLDED_BYTES_MAX;
use watt_light::{FoldedProof, FoldedWindows, WindowShape};
use watt_post::{NovaPasta, PostBackend as _, PostError, Settlement, Verifier, params_digest};
use watt_primitives::{Hash, codec};
use watt_proofs::{Element, Shape};
use watt_store::{Kv, KvError};

/// Good proofs that are remembered: what the pool verified is not verified again in the block.
const GOOD_MAX: usize = 1_024;

/// Verifies folded proofs, and keeps what that takes. A clone shares everything.
#[derive(Clone)]
pub(crate) struct Folded(Arc<Inner>);

struct Inner {
    /// Parameters on disk, 33 MiB a shape.
    kept: Kv,
    small: Mutex<Loaded>,
    large: Mutex<Loaded>,
    good: Mutex<Good>,
    /// What the parameters of a shape are named.
    digest: fn(Shape) -> Option<Element>,
    /// Why this machine can't tell good proofs from bad ones, once that was found.
    unable: OnceLock<String>,
}

/// The parameters of a shape, as far as they were needed: who only verifies needs less memory.
#[derive(Default)]
struct Loaded {
    verifier: Option<Arc<Verifier>>,
    prover: Option<Arc<NovaPasta>>,
}

/// Names of proofs that were found to hold; the oldest makes way.
#[derive(Default)]
struct Good {
    names: BTreeSet<Hash>,
    by_age: VecDeque<Hash>,
}

impl Folded {
    /// Keeps parameters in the folder `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, KvError> {
        Self::with_digests(dir, params_digest)
    }

    fn with_digests(dir: &Path, digest: fn(Shape) -> Option<Element>) -> Result<Self, KvError> {
        Ok(Self(Arc::new(Inner {
            kept: Kv::open(dir)?,
            small: Mutex::default(),
            large: Mutex::default(),
            good: Mutex::default(),
            digest,
            unable: OnceLock::new(),
        })))
    }

    /// Why no verdict since can be believed, if a proof came that this machine could not look at. Whoever goes on would call good
    /// blocks bad.
    pub(crate) fn unable(&self) -> Option<&str> {
        self.0.unable.get().map(String::as_str)
    }

    /// Has what is needed to verify proofs of these shapes ready. The first time in the life of a data folder that is seconds of work.
    pub(crate) fn prepare(&self, shapes: &BTreeSet<WindowShape>) {
        for shape in shapes.iter().copied() {
            // Whoever verifies says what is wrong.
            drop(self.verifier(shape));
        }
    }

    /// What folds windows of this shape.
    pub(crate) fn prover(&self, shape: WindowShape) -> Result<Arc<NovaPasta>, PostError> {
        let mut loaded = locked(self.loaded(shape));
        if let Some(prover) = &loaded.prover {
            return Ok(Arc::clone(prover));
        }
        let (shape, digest) = self.named(shape)?;
        let kept = self.read(shape, digest);
        let prover = match kept.and_then(|bytes| NovaPasta::load(shape, digest, &bytes).ok()) {
            Some(prover) => prover,
            None => self.derive(shape, digest)?.0,
        };
        let prover = Arc::new(prover);
        loaded.prover = Some(Arc::clone(&prover));
        Ok(prover)
    }

    fn verifier(&self, shape: WindowShape) -> Result<Arc<Verifier>, PostError> {
        let mut loaded = locked(self.loaded(shape));
        if let Some(verifier) = &loaded.verifier {
            return Ok(Arc::clone(verifier));
        }
        let (shape, digest) = self.named(shape)?;
        let kept = self.read(shape, digest);
        let verifier = match kept.and_then(|bytes| Verifier::load(digest, &bytes).ok()) {
            Some(verifier) => verifier,
            None => Verifier::load(digest, &self.derive(shape, digest)?.1)?,
        };
        let verifier = Arc::new(verifier);
        loaded.verifier = Some(Arc::clone(&verifier));
        Ok(verifier)
    }

    /// A shape, and what its parameters are named.
    fn named(&self, shape: WindowShape) -> Result<(Shape, Element), PostError> {
        let shape = shape_of(shape);
        Ok((shape, (self.0.digest)(shape).ok_or(PostError::Params)?))
    }

    fn loaded(&self, shape: WindowShape) -> &Mutex<Loaded> {
        match shape {
            WindowShape::Small => &self.0.small,
            WindowShape::Large => &self.0.large,
        }
    }

    /// Parameters as they were kept; whoever loads them checks that they have this digest.
    fn read(&self, shape: Shape, digest: Element) -> Option<Vec<u8>> {
        let kept = self.0.kept.get(&file_name(shape, digest));
        kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "the parameters of folded proofs can't be read; they are made again");
            None
        })
    }

    /// Makes the parameters, and keeps them if the disk takes them.
    fn derive(&self, shape: Shape, digest: Element) -> Result<(NovaPasta, Vec<u8>), PostError> {
        tracing::info!("making the parameters of folded proofs: seconds of work, once");
        let made = NovaPasta::derive(shape)?;
        if made.digest() != digest {
            return Err(PostError::Params);
        }
        let bytes = made.save()?;
        if let Err(error) = self.0.kept.put(&file_name(shape, digest), &bytes) {
            tracing::warn!(%error, "the parameters of folded proofs can't be kept; they are made again at the next start");
        }
        Ok((made, bytes))
    }

    /// The first bad one of proofs of one shape.
    fn first_bad_of(&self, shape: WindowShape, batch: &[(Settlement, &[u8])]) -> Option<usize> {
        if batch.is_empty() {
            return None;
        }
        let verified = guarded(|| {
            let verifier = self.verifier(shape)?;
            Ok::<_, PostError>(verifier.verify(batch, None))
        });
        match verified {
            Some(Ok(Ok(()))) => None,
            Some(Ok(Err(refused))) => {
                tracing::debug!(%refused, "a folded proof does not hold");
                Some(refused.at)
            }
            Some(Err(error)) => {
                self.0.unable.get_or_init(|| error.to_string());
                Some(0)
            }
            None => {
                tracing::error!("verifying a folded proof panicked; it counts as bad");
                Some(0)
            }
        }
    }
}

impl VerifyFolded for Folded {
    fn first_bad(&self, proofs: &[FoldedProof]) -> Option<usize> {
        let names: Vec<Hash> = proofs.iter().map(name).collect();
        let good = locked(&self.0.good);
        let new: Vec<usize> = (0..proofs.len())
            .filter(|at| names.get(*at).is_some_and(|name| !good.names.contains(name)))
            .collect();
        drop(good);
        for at in &new {
            if statement(proofs.get(*at)?).is_none() {
                return Some(*at);
            }
        }
        for shape in [WindowShape::Small, WindowShape::Large] {
            let of_shape =
                |at: &usize| Some((*at, proofs.get(*at).filter(|proof| proof.windows.shape == shape)?));
            let (places, batch): (Vec<usize>, Vec<(Settlement, &[u8])>) = new
                .iter()
                .filter_map(of_shape)
                .filter_map(|(at, proof)| Some((at, (statement(proof)?, proof.proof.as_slice()))))
                .unzip();
            if let Some(bad) = self.first_bad_of(shape, &batch) {
                return places.get(bad).copied();
            }
        }
        locked(&self.0.good).remember(names);
        None
    }
}

impl Good {
    fn remember(&mut self, names: Vec<Hash>) {
        for name in names {
            if self.names.insert(name) {
                self.by_age.push_back(name);
            }
        }
        while self.by_age.len() > GOOD_MAX {
            if let Some(oldest) = self.by_age.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }
}

/// Everything that its verdict depends on.
fn name(proof: &FoldedProof) -> Hash {
    Hash::of_content(&[codec::encode(&proof.windows), proof.proof.clone()].concat())
}

/// What a proof has to show; `None` for what no proof shows.
fn statement(proof: &FoldedProof) -> Option<Settlement> {
    let FoldedWindows {
        shape: _,
        from,
        to,
        n_windows,
        n_good,
    } = proof.windows;
    let is_possible = n_windows > 0 && n_good <= n_windows && proof.proof.len() <= FOLDED_BYTES_MAX;
    let settlement = Settlement {
        from: Element::from_bytes(from.0)?,
        to: Element::from_bytes(to.0)?,
        n_windows,
        n_good,
    };
    is_possible.then_some(settlement)
}

pub(crate) const fn shape_of(shape: WindowShape) -> Shape {
    match shape {
        WindowShape::Small => Shape::SMALL,
        WindowShape::Large => Shape::LARGE,
    }
}

fn file_name(shape: Shape, digest: Element) -> String {
    let word = if shape == Shape::SMALL { "small" } else { "large" };
    format!("{word}-{}", Hash(digest.to_bytes()))
}

/// Makes the parameters of a shape in the folder `dir`, unless they are there.
pub(crate) fn make(dir: &Path, shape: WindowShape) -> Result<(), CommandError> {
    let folded = Folded::open(dir).map_err(|error| trouble(&error))?;
    folded.verifier(shape).map(drop).map_err(|error| trouble(&error))
}

#[cfg(test)]
mod tests;
