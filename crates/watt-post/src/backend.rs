//! What a recursive proof system does for us. [`crate::nova::NovaPasta`] is the one that is used.

use serde::{Deserialize, Serialize};
use watt_proofs::Shape;
use watt_proofs::element::Element;
use watt_proofs::window::{Step, WrongStep};

/// Longest proof that is looked at, in bytes.
pub const PROOF_BYTES_MAX: usize = 16 * 1024;

/// What a proof shows: a provider went from one state to another in so many windows, and opened all samples in so many of
/// them. The states are the ledger's own; which windows lie between them follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// State before the first window.
    pub from: Element,
    /// State after the last.
    pub to: Element,
    /// Windows in which the provider was present, at least one.
    pub n_windows: u32,
    /// Windows in which everything that was sampled was opened.
    pub n_good: u32,
}

/// Why the prover stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// A step that can't be proven as what it says it is; it can be folded as [`Step::failed`].
    #[error("the step can't be folded")]
    WrongStep(#[from] WrongStep),
    /// Parameters that aren't those of the shape, or were changed.
    #[error("the parameters read are not those of this shape, or were changed")]
    Params,
    /// A saved running proof that was cut short or changed, or is one of other windows.
    #[error("the saved running proof is damaged or another's; it can be folded again from the log")]
    Running,
    /// Nothing was folded.
    #[error("there is no window to prove")]
    NoWindows,
    /// The proof system itself reported an error.
    #[error("the proof system: {0}")]
    System(String),
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPost {
    /// Longer than any proof.
    #[error("a proof of {found} bytes, where {PROOF_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// Bytes that are no proof, or not in the one encoding that a proof has.
    #[error("the bytes are no proof in its one encoding")]
    Encoding,
    /// A part with another number of elements than proofs of this shape have.
    #[error("a part has another length than in proofs of this shape: {0:?}")]
    Length(Part),
    /// No windows, or more good ones than windows.
    #[error("{n_good} good windows of {n_windows}")]
    Windows {
        /// Windows claimed.
        n_windows: u32,
        /// Good ones claimed.
        n_good: u32,
    },
    /// The proof ends in another state than the ledger's: other windows, another provider or another network.
    #[error("the proof ends in another state")]
    EndState,
    /// The proof shows another number of good windows.
    #[error("the proof shows another number of good windows than claimed")]
    GoodWindows,
    /// The proof is about another beginning, another number of windows, or other parameters.
    #[error("the proof is not about these windows, or was made with other parameters")]
    Statement,
    /// A sum that doesn't add up: the constraints aren't met.
    #[error("a sum-check on the {0:?} curve fails")]
    SumCheck(Curve),
    /// The claim about the constraints' coefficients is wrong.
    #[error("the claim about the matrices on the {0:?} curve is wrong")]
    Matrices(Curve),
    /// The committed witness isn't the one that the sums are about.
    #[error("the opening of the witness on the {0:?} curve fails")]
    Opening(Curve),
    /// A number that has to be inverted came out as zero: no honest proof meets this but by a chance of one in 2^254.
    #[error("a number to be inverted on the {0:?} curve is zero")]
    ZeroChallenge(Curve),
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof {at} of the batch: {why}")]
pub struct Refused {
    /// Which proof, counted from zero.
    pub at: usize,
    /// What is wrong with it.
    pub why: InvalidPost,
}

/// A part of a proof with a fixed number of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Public values of an instance.
    PublicValues,
    /// Rounds of a sum-check, or coefficients of one.
    Rounds,
    /// Claimed evaluations.
    Evaluations,
    /// Halvings of the inner product.
    Halvings,
    /// Values that the last step gave.
    Outputs,
}

/// A curve of the cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// The curve on which windows are proven.
    Primary,
    /// The curve on which folding is proven.
    Secondary,
}

/// A recursive proof system for windows.
pub trait PostBackend: Sized + Send + Sync {
    /// A proof that grows by one window at a time.
    type Running: Send;

    /// Derives the parameters of a shape: the same on every machine, and seconds of work.
    ///
    /// # Errors
    /// [`PostError::System`].
    fn derive(shape: Shape) -> Result<Self, PostError>;

    /// The parameters as bytes, to keep: tens of megabytes, nothing secret.
    ///
    /// # Errors
    /// [`PostError::System`].
    fn save(&self) -> Result<Vec<u8>, PostError>;

    /// Reads kept parameters, which have to have this digest.
    ///
    /// # Errors
    /// [`PostError::Params`] for other ones, and for such as were changed.
    fn load(shape: Shape, digest: Element, bytes: &[u8]) -> Result<Self, PostError>;

    /// What names the parameters. It is bound into every proof.
    fn digest(&self) -> Element;

    /// The shape.
    fn shape(&self) -> Shape;

    /// Folds a window. Without a running proof, `from` is the state that the first window begins in; else it has to be the
    /// one that the running proof began in.
    ///
    /// # Errors
    /// [`PostError::WrongStep`] for a step that couldn't be proven: the running proof is then as it was.
    fn fold(&self, from: Element, running: &mut Option<Self::Running>, step: &Step) -> Result<(), PostError>;

    /// What the running proof shows.
    fn shown(&self, running: &Self::Running) -> Settlement;

    /// The running proof as bytes, to be written after each window: megabytes.
    ///
    /// # Errors
    /// [`PostError::System`].
    fn save_running(&self, running: &Self::Running) -> Result<Vec<u8>, PostError>;

    /// Reads a running proof back.
    ///
    /// # Errors
    /// [`PostError::Running`] if it was cut short or changed.
    fn load_running(&self, bytes: &[u8]) -> Result<Self::Running, PostError>;

    /// Compresses a running proof into the one that is sent. The running proof can be folded further.
    ///
    /// # Errors
    /// [`PostError::System`].
    fn compress(&self, running: &Self::Running) -> Result<Vec<u8>, PostError>;

    /// Verifies a batch of proofs, all of them or none: much cheaper than one by one, and cheaper still with a hint for this
    /// batch. The verdict doesn't depend on the hint, so that it may come from anyone.
    ///
    /// # Errors
    /// [`Refused`] names one bad proof of the batch.
    fn verify(&self, batch: &[(Settlement, &[u8])], hint: Option<&[u8]>) -> Result<(), Refused>;

    /// Makes a hint for a batch, of a few kilobytes.
    ///
    /// # Errors
    /// [`Refused`] names a proof of the batch that fails by itself.
    fn hint(&self, batch: &[(Settlement, &[u8])]) -> Result<Vec<u8>, Refused>;

    /// The running proof of all windows in `log`, in their order: from what was saved as far as that goes, and by folding the
    /// rest. Without a usable save everything is folded again.
    ///
    /// # Errors
    /// [`PostError::NoWindows`] for an empty log, [`PostError::WrongStep`] for a step that can't be proven.
    fn recover(&self, from: Element, log: &[Step], saved: Option<&[u8]>) -> Result<Self::Running, PostError> {
        let mut running = saved
            .and_then(|bytes| self.load_running(bytes).ok())
            .filter(|running| begins(log, from, &self.shown(running)));
        let n_done = running
            .as_ref()
            .map_or(0, |running| self.shown(running).n_windows);
        for step in log.iter().skip(crate::index(n_done)) {
            self.fold(from, &mut running, step)?;
        }
        running.ok_or(PostError::NoWindows)
    }
}

/// Whether a running proof shows exactly the first windows of a log.
fn begins(log: &[Step], from: Element, shown: &Settlement) -> bool {
    let done = log.get(..crate::index(shown.n_windows));
    done.is_some_and(|done| {
        let to = done
            .iter()
            .fold(from, |state, step| step.window.next_state(state));
        let n_good = done.iter().filter(|step| step.is_good).count();
        shown.from == from && shown.to == to && u32::try_from(n_good) == Ok(shown.n_good)
    })
}
