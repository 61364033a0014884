//! One window as constraints (`docs/spec/proofs.md` §11): what [`watt_proofs::window`] computes, proven.

mod hash;

use ff::Field;
use hash::{hash_eight, hash_three, hash_two};
use nova_snark::frontend::num::AllocatedNum;
use nova_snark::frontend::{AllocatedBit, Boolean, ConstraintSystem, LinearCombination, SynthesisError};
use nova_snark::traits::circuit::StepCircuit;
use std::sync::Arc;
use watt_proofs::Shape;
use watt_proofs::element::{Element, F};
use watt_proofs::poseidon::Tag;
use watt_proofs::window::Step;

/// State and number of good steps: what goes from step to step.
pub(crate) const ARITY_Z: usize = 2;

/// The circuit of one window; without a step only its form is known.
#[derive(Clone, Debug)]
pub(crate) struct WindowCircuit {
    shape: Shape,
    step: Option<Arc<Step>>,
}

type Num = AllocatedNum<F>;

impl WindowCircuit {
    pub(crate) const fn form(shape: Shape) -> Self {
        Self { shape, step: None }
    }

    pub(crate) fn with_step(shape: Shape, step: &Step) -> Self {
        Self {
            shape,
            step: Some(Arc::new(step.clone())),
        }
    }

    /// A value of the step as a variable.
    fn witness<CS: ConstraintSystem<F>>(
        &self,
        cs: CS,
        value: impl Fn(&Step) -> Option<Element>,
    ) -> Result<Num, SynthesisError> {
        Num::alloc(cs, || {
            let value = self.step.as_deref().and_then(value);
            value
                .map(|element| element.0)
                .ok_or(SynthesisError::AssignmentMissing)
        })
    }

    /// The root above `node` on a way that the step gives. Of the children of each node, the one on the way is `node` by
    /// constraint, whatever the step says.
    fn climb<CS: ConstraintSystem<F>>(
        &self,
        cs: &mut CS,
        tag: Tag,
        node: Num,
        place: &[Boolean],
        path: impl Fn(&Step, usize) -> Option<[Element; 8]>,
    ) -> Result<Num, SynthesisError> {
        let mut node = node;
        for (level, bits) in place.as_chunks::<3>().0.iter().enumerate() {
            let mut cs = cs.namespace(|| format!("level {level}"));
            let on_way = number_of(bits);
            let mut children = Vec::with_capacity(8);
            for child in 0..8 {
                let is_on_way = on_way == Some(child);
                let value = node.get_value().map(Element).filter(|_| is_on_way);
                children.push(self.witness(cs.namespace(|| format!("child {child}")), |step| {
                    value.or_else(|| path(step, level).and_then(|family| family.get(child).copied()))
                })?);
            }
            enforce_selected(&mut cs.namespace(|| "selected"), &children, bits, &node)?;
            node = hash_eight(&mut cs.namespace(|| "node"), tag, &children)?;
        }
        Ok(node)
    }

    /// Everything about sampled position `at`.
    fn sample<CS: ConstraintSystem<F>>(
        &self,
        cs: &mut CS,
        at: usize,
        common: &Common,
        place: &[Boolean],
    ) -> Result<(), SynthesisError> {
        let opening = |step: &Step| step.openings.get(at).cloned();
        let position = from_bits(cs.namespace(|| "position"), place)?;
        let index = hash_two(
            &mut cs.namespace(|| "index"),
            &[common.challenge.clone(), position.clone()],
        )?;
        let index_bits = index.to_bits_le_strict(cs.namespace(|| "index bits"))?;
        let leaf_bits = crate::index(self.shape.leaf_bits());
        let leaf_place = index_bits
            .get(..leaf_bits)
            .ok_or(SynthesisError::AssignmentMissing)?;

        let mut leaf = Vec::with_capacity(8);
        for chunk in 0..8 {
            leaf.push(self.witness(cs.namespace(|| format!("leaf {chunk}")), |step| {
                opening(step).and_then(|opening| opening.leaf.get(chunk).copied())
            })?);
        }
        let digest = hash_eight(&mut cs.namespace(|| "leaf"), Tag::Leaf, &leaf)?;
        let inputs = [common.challenge.clone(), position, digest.clone()];
        let answer = hash_three(&mut cs.namespace(|| "answer"), Tag::Response, &inputs)?;

        let answers = self.climb(
            &mut cs.namespace(|| "answers"),
            Tag::ResponseNode,
            answer,
            place,
            |step, level| opening(step)?.answer_path.get(level).copied(),
        )?;
        let replica = self.climb(
            &mut cs.namespace(|| "replica"),
            Tag::Node,
            digest,
            leaf_place,
            |step, level| opening(step)?.leaf_path.get(level).copied(),
        )?;
        let set = self.climb(
            &mut cs.namespace(|| "set"),
            Tag::Node,
            replica,
            place,
            |step, level| opening(step)?.set_path.get(level).copied(),
        )?;
        enforce_equal_if(
            &mut cs.namespace(|| "answered"),
            &common.is_good,
            &answers,
            &common.answers,
        );
        enforce_equal_if(&mut cs.namespace(|| "stored"), &common.is_good, &set, &common.set);
        Ok(())
    }
}

/// What all samples of a step share.
struct Common {
    set: Num,
    answers: Num,
    challenge: Num,
    is_good: AllocatedBit,
}

impl StepCircuit<F> for WindowCircuit {
    fn arity(&self) -> usize {
        ARITY_Z
    }

    fn synthesize<CS: ConstraintSystem<F>>(
        &self,
        cs: &mut CS,
        z: &[Num],
    ) -> Result<Vec<Num>, SynthesisError> {
        let [state, n_good] = z else {
            return Err(SynthesisError::AssignmentMissing);
        };
        let set = self.witness(cs.namespace(|| "set"), |step| Some(step.window.set))?;
        let beacon = self.witness(cs.namespace(|| "beacon"), |step| Some(step.window.beacon))?;
        let answers = self.witness(cs.namespace(|| "answers"), |step| Some(step.window.answers))?;
        let next_beacon = self.witness(cs.namespace(|| "next beacon"), |step| {
            Some(step.window.next_beacon)
        })?;
        let is_good = self.step.as_deref().map(|step| step.is_good);
        let is_good = AllocatedBit::alloc(cs.namespace(|| "is good"), is_good)?;

        let inputs = [state.clone(), set.clone(), beacon];
        let challenge = hash_three(&mut cs.namespace(|| "challenge"), Tag::Challenge, &inputs)?;
        let inputs = [challenge.clone(), answers.clone(), next_beacon];
        let next_state = hash_three(&mut cs.namespace(|| "state"), Tag::State, &inputs)?;
        let bits = next_state.to_bits_le_strict(cs.namespace(|| "sample bits"))?;

        let common = Common {
            set,
            answers,
            challenge,
            is_good,
        };
        let places = bits.chunks_exact(crate::index(self.shape.position_bits()));
        for (at, place) in places.take(crate::index(self.shape.samples())).enumerate() {
            self.sample(&mut cs.namespace(|| format!("sample {at}")), at, &common, place)?;
        }
        let n_good_next = count(cs.namespace(|| "good steps"), n_good, &common.is_good)?;
        Ok(vec![next_state, n_good_next])
    }
}

/// The number of these bits, lowest first.
fn from_bits<CS: ConstraintSystem<F>>(mut cs: CS, bits: &[Boolean]) -> Result<Num, SynthesisError> {
    let number = Num::alloc(cs.namespace(|| "number"), || {
        let number = number_of(bits).and_then(|number| u64::try_from(number).ok());
        number.map(F::from).ok_or(SynthesisError::AssignmentMissing)
    })?;
    let mut sum = LinearCombination::zero();
    let mut weight = F::ONE;
    for bit in bits {
        sum = sum + &bit.lc(CS::one(), weight);
        weight = weight.double();
    }
    cs.enforce(
        || "sum of bits",
        |_| sum,
        |lc| lc + CS::one(),
        |lc| lc + number.get_variable(),
    );
    Ok(number)
}

/// The number of these bits, lowest first, where they have values.
fn number_of(bits: &[Boolean]) -> Option<usize> {
    bits.iter().rev().try_fold(0usize, |number, bit| {
        Some((number << 1) | usize::from(bit.get_value()?))
    })
}

/// Lets the one of eight children that three bits name, lowest first, be `node`.
fn enforce_selected<CS: ConstraintSystem<F>>(
    cs: &mut CS,
    children: &[Num],
    bits: &[Boolean; 3],
    node: &Num,
) -> Result<(), SynthesisError> {
    let [low, middle, high] = bits;
    let mut four = Vec::with_capacity(4);
    for (at, pair) in children.as_chunks::<2>().0.iter().enumerate() {
        four.push(select(cs.namespace(|| format!("pair {at}")), low, pair)?);
    }
    let mut two = Vec::with_capacity(2);
    for (at, pair) in four.as_chunks::<2>().0.iter().enumerate() {
        two.push(select(cs.namespace(|| format!("half {at}")), middle, pair)?);
    }
    let [first, second] = two.as_slice() else {
        return Err(SynthesisError::AssignmentMissing);
    };
    enforce_is_selected(cs, high, first, second, node);
    Ok(())
}

/// The second of a pair if the bit is set, else the first.
fn select<CS: ConstraintSystem<F>>(
    mut cs: CS,
    bit: &Boolean,
    pair: &[Num; 2],
) -> Result<Num, SynthesisError> {
    let [first, second] = pair;
    let selected = Num::alloc(cs.namespace(|| "one of two"), || {
        let of = if bit.get_value().ok_or(SynthesisError::AssignmentMissing)? {
            second
        } else {
            first
        };
        of.get_value().ok_or(SynthesisError::AssignmentMissing)
    })?;
    enforce_is_selected(&mut cs, bit, first, second, &selected);
    Ok(selected)
}

fn enforce_is_selected<CS: ConstraintSystem<F>>(
    cs: &mut CS,
    bit: &Boolean,
    first: &Num,
    second: &Num,
    selected: &Num,
) {
    cs.enforce(
        || "the one that the bit names",
        |_| bit.lc(CS::one(), F::ONE),
        |lc| lc + second.get_variable() - first.get_variable(),
        |lc| lc + selected.get_variable() - first.get_variable(),
    );
}

/// Lets two numbers be equal if the bit is set.
fn enforce_equal_if<CS: ConstraintSystem<F>>(cs: &mut CS, bit: &AllocatedBit, a: &Num, b: &Num) {
    cs.enforce(
        || "equal if set",
        |lc| lc + bit.get_variable(),
        |lc| lc + a.get_variable() - b.get_variable(),
        |lc| lc,
    );
}

/// One more if the bit is set.
fn count<CS: ConstraintSystem<F>>(mut cs: CS, n: &Num, bit: &AllocatedBit) -> Result<Num, SynthesisError> {
    let next = Num::alloc(cs.namespace(|| "count"), || {
        let is_set = bit.get_value().ok_or(SynthesisError::AssignmentMissing)?;
        let n = n.get_value().ok_or(SynthesisError::AssignmentMissing)?;
        Ok(n + F::from(u64::from(is_set)))
    })?;
    cs.enforce(
        || "one more if set",
        |lc| lc + n.get_variable() + bit.get_variable(),
        |lc| lc + CS::one(),
        |lc| lc + next.get_variable(),
    );
    Ok(next)
}

#[cfg(test)]
mod tests;
