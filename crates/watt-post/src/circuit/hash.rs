//! The hash of `watt_proofs::poseidon` as constraints.

use super::Num;
use nova_snark::frontend::gadgets::poseidon::{
    IOPattern, PoseidonConstants, Simplex, Sponge, SpongeAPI, SpongeOp, SpongeTrait, Strength,
};
use nova_snark::frontend::{ConstraintSystem, Elt, SpongeCircuit, SynthesisError};
use std::sync::OnceLock;
use typenum::{U2, U3, U8};
use watt_proofs::element::F;
use watt_proofs::poseidon::Tag;

/// Round constants and matrices as the proof system has them, by number of inputs.
struct Constants {
    two: PoseidonConstants<F, U2>,
    three: PoseidonConstants<F, U3>,
    eight: PoseidonConstants<F, U8>,
}

/// The constants, derived on first use.
fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| Constants {
        two: Sponge::<F, U2>::api_constants(Strength::Standard),
        three: Sponge::<F, U3>::api_constants(Strength::Standard),
        eight: Sponge::<F, U8>::api_constants(Strength::Standard),
    })
}

/// What the sponge takes in and gives.
fn pattern(tag: Tag) -> IOPattern {
    IOPattern(vec![SpongeOp::Absorb(tag.inputs()), SpongeOp::Squeeze(1)])
}

/// The sponge over inputs, as a variable of its own.
macro_rules! hash {
    ($arity:ty, $constants:expr, $cs:expr, $tag:expr, $inputs:expr) => {{
        let mut sponge = SpongeCircuit::<'_, F, $arity, _>::new_with_constants($constants, Simplex);
        let inputs: Vec<Elt<F>> = $inputs
            .iter()
            .map(|input| Elt::Allocated(input.clone()))
            .collect();
        let n_inputs = u32::try_from(inputs.len()).map_err(|_| SynthesisError::AssignmentMissing)?;
        let digest = {
            let ns = &mut $cs.namespace(|| "sponge");
            sponge.start(pattern($tag), Some($tag.domain()), ns);
            SpongeAPI::absorb(&mut sponge, n_inputs, &inputs, ns);
            let squeezed = SpongeAPI::squeeze(&mut sponge, 1, ns);
            sponge.finish(ns).map_err(|_| SynthesisError::AssignmentMissing)?;
            squeezed
                .into_iter()
                .next()
                .ok_or(SynthesisError::AssignmentMissing)?
        };
        digest.ensure_allocated(&mut $cs.namespace(|| "digest"))
    }};
}

pub(super) fn hash_two<CS: ConstraintSystem<F>>(
    cs: &mut CS,
    inputs: &[Num; 2],
) -> Result<Num, SynthesisError> {
    hash!(U2, &constants().two, cs, Tag::Index, inputs)
}

pub(super) fn hash_three<CS: ConstraintSystem<F>>(
    cs: &mut CS,
    tag: Tag,
    inputs: &[Num; 3],
) -> Result<Num, SynthesisError> {
    hash!(U3, &constants().three, cs, tag, inputs)
}

pub(super) fn hash_eight<CS: ConstraintSystem<F>>(
    cs: &mut CS,
    tag: Tag,
    inputs: &[Num],
) -> Result<Num, SynthesisError> {
    hash!(U8, &constants().eight, cs, tag, inputs)
}

/// The same hash by the library's own sponge, outside of circuits.
#[cfg(test)]
pub(super) fn library_hash(tag: Tag, inputs: &[F]) -> F {
    macro_rules! squeeze {
        ($arity:ty, $constants:expr) => {{
            let mut sponge = Sponge::<'_, F, $arity>::new_with_constants($constants, Simplex);
            sponge.start(pattern(tag), Some(tag.domain()), &mut ());
            SpongeAPI::absorb(&mut sponge, tag.inputs(), inputs, &mut ());
            SpongeAPI::squeeze(&mut sponge, 1, &mut ())[0]
        }};
    }
    match inputs.len() {
        2 => squeeze!(U2, &constants().two),
        3 => squeeze!(U3, &constants().three),
        _ => squeeze!(U8, &constants().eight),
    }
}
