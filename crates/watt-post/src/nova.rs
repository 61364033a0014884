//! The proof system: Nova over the Pasta curves with inner-product commitments, from `nova-snark`. No trusted setup.

mod curve;
mod hint;
mod matrix;
mod opening;
mod proof;
mod verify;

pub use verify::Verifier;

use crate::backend::{PostBackend, PostError, Refused, Settlement};
use crate::circuit::{ARITY_Z, WindowCircuit};
use ff::Field;
use nova_snark::nova::{CompressedSNARK, ProverKey, PublicParams, RecursiveSNARK};
use nova_snark::provider::ipa_pc::EvaluationEngine;
use nova_snark::spartan::snark::RelaxedR1CSSNARK;
use nova_snark::traits::snark::default_ck_hint;
use proof::{E1, E2, ENCODING, encode_proof};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use watt_primitives::Hash;
use watt_proofs::Shape;
use watt_proofs::element::{Element, F};
use watt_proofs::window::Step;

type Spartan<E> = RelaxedR1CSSNARK<E, EvaluationEngine<E>>;
type Params = PublicParams<E1, E2, WindowCircuit>;
type Recursive = RecursiveSNARK<E1, E2, WindowCircuit>;
type Compressed = CompressedSNARK<E1, E2, WindowCircuit, Spartan<E1>, Spartan<E2>>;
#[cfg(any(test, feature = "testing"))]
type LibraryKey = nova_snark::nova::VerifierKey<E1, E2, WindowCircuit, Spartan<E1>, Spartan<E2>>;
type Key = ProverKey<E1, E2, WindowCircuit, Spartan<E1>, Spartan<E2>>;

/// Beginning of a saved running proof.
const RUNNING_MARK: &[u8; 16] = b"watt/1/post/run\0";

/// Digests of the parameters of the two shapes.
const LARGE_DIGEST: [u8; 32] = [
    209, 251, 1, 246, 39, 251, 82, 80, 192, 196, 165, 120, 198, 12, 101, 134, 215, 5, 214, 128, 198, 23, 167,
    49, 114, 158, 253, 99, 226, 116, 112, 2,
];
const SMALL_DIGEST: [u8; 32] = [
    214, 149, 119, 51, 240, 68, 118, 111, 109, 86, 15, 234, 188, 250, 183, 91, 250, 203, 19, 192, 119, 180,
    144, 83, 164, 65, 32, 112, 175, 189, 198, 1,
];

/// What the parameters of a shape have to be named, so that kept ones can be trusted; `None` for a shape that no number of
/// sectors has.
#[must_use]
pub fn params_digest(shape: Shape) -> Option<Element> {
    match shape {
        Shape::LARGE => Element::from_bytes(LARGE_DIGEST),
        Shape::SMALL => Element::from_bytes(SMALL_DIGEST),
        _ => None,
    }
}

/// Parameters of a shape, for prover and verifier.
pub struct NovaPasta {
    shape: Shape,
    params: Params,
    key: OnceLock<Key>,
    verifier: Verifier,
    #[cfg(any(test, feature = "testing"))]
    library_key: OnceLock<Option<LibraryKey>>,
}

impl core::fmt::Debug for NovaPasta {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NovaPasta")
            .field("shape", &self.shape)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

/// A proof that grows by one window at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    from: Element,
    recursive: Recursive,
}

impl NovaPasta {
    const fn new(shape: Shape, params: Params, verifier: Verifier) -> Self {
        Self {
            shape,
            params,
            key: OnceLock::new(),
            verifier,
            #[cfg(any(test, feature = "testing"))]
            library_key: OnceLock::new(),
        }
    }

    /// Constraints and variables of the larger circuit, proof system included.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.params.num_constraints().0, self.params.num_variables().0)
    }

    /// The key of the compressing proof, made on first use.
    fn key(&self) -> Result<&Key, PostError> {
        if self.key.get().is_none() {
            let (key, _) = Compressed::setup(&self.params).map_err(system)?;
            // Whoever was first set the same key.
            drop(self.key.set(key));
        }
        self.key.get().ok_or(PostError::Params)
    }

    /// What the library's own verifier says of a proof; its key is made on first use.
    ///
    /// # Panics
    /// On some malformed proofs, as the library does.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn verify_as_library(&self, settlement: &Settlement, proof: &[u8]) -> bool {
        let key = self
            .library_key
            .get_or_init(|| Compressed::setup(&self.params).ok().map(|(_, key)| key));
        let z0 = [settlement.from.0, F::ZERO];
        let zn = [settlement.to.0, F::from(u64::from(settlement.n_good))];
        let proof: Result<Compressed, _> = proof::decode_proof(proof);
        let (Ok(proof), Some(key)) = (proof, key) else {
            return false;
        };
        let outputs = proof.verify(key, crate::index(settlement.n_windows), &z0);
        outputs.is_ok_and(|outputs| outputs == zn)
    }
}

impl PostBackend for NovaPasta {
    type Running = Running;

    fn derive(shape: Shape) -> Result<Self, PostError> {
        let circuit = WindowCircuit::form(shape);
        let params = Params::setup(&circuit, &*default_ck_hint(), &*default_ck_hint()).map_err(system)?;
        let bytes = bincode::serde::encode_to_vec(&params, ENCODING).map_err(system)?;
        let verifier = Verifier::load(Element(params.digest()), &bytes)?;
        Ok(Self::new(shape, params, verifier))
    }

    fn save(&self) -> Result<Vec<u8>, PostError> {
        bincode::serde::encode_to_vec(&self.params, ENCODING).map_err(system)
    }

    fn load(shape: Shape, digest: Element, bytes: &[u8]) -> Result<Self, PostError> {
        let verifier = Verifier::load(digest, bytes)?;
        let decoded = bincode::serde::decode_from_slice(bytes, ENCODING);
        let (params, _): (Params, usize) = decoded.map_err(|_| PostError::Params)?;
        Ok(Self::new(shape, params, verifier))
    }

    fn digest(&self) -> Element {
        Element(self.params.digest())
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn fold(&self, from: Element, running: &mut Option<Running>, step: &Step) -> Result<(), PostError> {
        let state = running.as_ref().map_or(from, |running| self.shown(running).to);
        if running.as_ref().is_some_and(|running| running.from != from) {
            return Err(PostError::Running);
        }
        step.check(self.shape, state)?;
        let circuit = WindowCircuit::with_step(self.shape, step);
        let mut next = match running.take() {
            Some(running) => running,
            None => Running {
                from,
                recursive: Recursive::new(&self.params, &circuit, &[from.0, F::ZERO]).map_err(system)?,
            },
        };
        next.recursive
            .prove_step(&self.params, &circuit)
            .map_err(system)?;
        *running = Some(next);
        Ok(())
    }

    fn shown(&self, running: &Running) -> Settlement {
        let outputs = running.recursive.outputs();
        let [to, n_good] = [0, 1].map(|at| outputs.get(at).copied().map(Element).unwrap_or_default());
        Settlement {
            from: running.from,
            to,
            n_windows: u32::try_from(running.recursive.num_steps()).unwrap_or(u32::MAX),
            n_good: watt_proofs::element::low_bits(&n_good.0, 0, 32),
        }
    }

    fn save_running(&self, running: &Running) -> Result<Vec<u8>, PostError> {
        let body = bincode::serde::encode_to_vec(running, ENCODING).map_err(system)?;
        let head = [
            RUNNING_MARK.as_slice(),
            &self.digest().to_bytes(),
            &Hash::of_content(&body).0,
        ];
        Ok([head.concat(), body].concat())
    }

    fn load_running(&self, bytes: &[u8]) -> Result<Running, PostError> {
        let read = || {
            let body = bytes.strip_prefix(RUNNING_MARK.as_slice())?;
            let body = body.strip_prefix(self.digest().to_bytes().as_slice())?;
            let (digest, body) = body.split_first_chunk::<32>()?;
            let is_whole = Hash::of_content(body).0 == *digest;
            let decoded = bincode::serde::decode_from_slice(body, ENCODING).ok()?;
            let (running, n_read): (Running, usize) = decoded;
            (is_whole && n_read == body.len() && running.recursive.outputs().len() == ARITY_Z)
                .then_some(running)
        };
        read().ok_or(PostError::Running)
    }

    fn compress(&self, running: &Running) -> Result<Vec<u8>, PostError> {
        let proof = Compressed::prove(&self.params, self.key()?, &running.recursive).map_err(system)?;
        encode_proof(&proof).map_err(system)
    }

    fn verify(&self, batch: &[(Settlement, &[u8])], hint: Option<&[u8]>) -> Result<(), Refused> {
        self.verifier.verify(batch, hint)
    }

    fn hint(&self, batch: &[(Settlement, &[u8])]) -> Result<Vec<u8>, Refused> {
        self.verifier.hint(batch)
    }
}

fn system(error: impl core::fmt::Display) -> PostError {
    PostError::System(error.to_string())
}

#[cfg(test)]
mod tests;
