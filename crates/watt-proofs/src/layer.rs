//! All labels of a sector, layer by layer (`docs/spec/proofs.md` §4): what sealing, unsealing and opening spend their time on.
//!
//! A label waits for the one before it, and for parents that lie anywhere in two layers of 64 MiB. So parents of many nodes
//! are fetched at once before these nodes are labelled: the machine waits for a dozen places in memory as long as for one.

use crate::graph::Graph;
use crate::label::{Label, Labeler, NO_PARENT};
use crate::params::{DRG_DEGREE, EXPANDER_DEGREE, NODE_BYTES, ProofParams, SectorSize, index};
use crate::seal::{Progress, SealError};
use crate::sector::ReplicaId;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// Nodes whose parents are fetched together.
const GATHERED: usize = 64;

/// Nodes between two reports of progress.
const REPORTED: u32 = 1 << 14;

/// Bytes that the machine moves between memory and processor at once, or a multiple of them.
const CACHE_LINE: usize = 64;

/// The labels of one layer, none of them across two cache lines.
pub(crate) struct Layer {
    bytes: Vec<u8>,
    start: usize,
}

impl Layer {
    fn new(n_nodes: usize) -> Self {
        let bytes = alloc::vec![0; n_nodes * NODE_BYTES + CACHE_LINE];
        let start = bytes.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE);
        Self { bytes, start }
    }

    fn end(&self) -> usize {
        self.start + self.bytes.len() - CACHE_LINE
    }

    /// The labels, by node.
    pub(crate) fn labels(&self) -> &[Label] {
        self.bytes[self.start..self.end()].as_chunks().0
    }

    fn labels_mut(&mut self) -> &mut [Label] {
        let end = self.end();
        self.bytes[self.start..end].as_chunks_mut().0
    }

    /// The labels as bytes, the first `n_dropped` nodes left out, in the memory where they are.
    pub(crate) fn into_key(mut self, n_dropped: u32) -> Vec<u8> {
        self.bytes.truncate(self.end());
        self.bytes.drain(..self.start + index(n_dropped) * NODE_BYTES);
        self.bytes
    }
}

/// The last two layers.
pub(crate) struct Layers {
    pub(crate) below: Layer,
    pub(crate) top: Layer,
}

/// What is done with each layer once it is there: its number, the layer below (empty under layer 1), its labels.
pub(crate) type EachLayer<'a> = dyn FnMut(u8, &[Label], &[Label]) + 'a;

/// Labels all layers in turn, keeping two.
pub(crate) fn label_layers(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    each: &mut EachLayer<'_>,
) -> Result<Layers, SealError> {
    let graph = Graph::new(size);
    let mut labeler = Labeler::new(replica_id);
    let n_nodes = index(size.nodes());
    let (mut below, mut top) = (Layer::new(n_nodes), Layer::new(n_nodes));
    for layer in 1..=params.layers {
        core::mem::swap(&mut below, &mut top);
        let mut report = |nodes: u32| {
            progress(Progress {
                labels_done: u64::from(layer - 1) * u64::from(size.nodes()) + u64::from(nodes),
                labels: u64::from(params.layers) * u64::from(size.nodes()),
            })
        };
        let under = if layer > 1 { below.labels() } else { &[] };
        label_layer(&graph, &mut labeler, layer, under, top.labels_mut(), &mut report)?;
        each(layer, under, top.labels());
    }
    Ok(Layers { below, top })
}

/// Labels one layer. `label::parents` says the same rule for one node at a time.
fn label_layer(
    graph: &Graph,
    labeler: &mut Labeler,
    layer: u8,
    below: &[Label],
    labels: &mut [Label],
    report: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<(), SealError> {
    let mut parents = Parents::new();
    let mut node = 0u32;
    for first in (0..labels.len()).step_by(GATHERED) {
        parents.draw(graph, node, !below.is_empty());
        parents.gather(below, labels);
        let last = labels.len().min(first + GATHERED);
        for ((at, within), lower) in (first..last).zip(&parents.within).zip(&parents.gathered) {
            let mut drg = [NO_PARENT; DRG_DEGREE];
            if node > 0 {
                drg = within.map(|parent| labels[index(parent)]);
            }
            if below.is_empty() {
                let again = drg.iter().cycle().take(DRG_DEGREE + EXPANDER_DEGREE);
                (0..)
                    .zip(again)
                    .for_each(|(place, label)| labeler.set_parent(place, label));
            } else {
                let all = drg.iter().chain(lower);
                (0..)
                    .zip(all)
                    .for_each(|(place, label)| labeler.set_parent(place, label));
            }
            labels[at] = labeler.label(layer, node);
            node += 1;
        }
        if node.is_multiple_of(REPORTED) && report(node).is_break() {
            return Err(SealError::Stopped);
        }
    }
    Ok(())
}

/// The parents of the nodes that are labelled next.
struct Parents {
    within: [[u32; DRG_DEGREE]; GATHERED],
    lower: [[u32; EXPANDER_DEGREE]; GATHERED],
    gathered: [[Label; EXPANDER_DEGREE]; GATHERED],
}

impl Parents {
    const fn new() -> Self {
        Self {
            within: [[0; DRG_DEGREE]; GATHERED],
            lower: [[0; EXPANDER_DEGREE]; GATHERED],
            gathered: [[NO_PARENT; EXPANDER_DEGREE]; GATHERED],
        }
    }

    /// Draws the parents of the nodes from `first` on.
    fn draw(&mut self, graph: &Graph, first: u32, has_lower: bool) {
        for (node, parents) in (first..).zip(&mut self.within) {
            *parents = graph.drg_parents(node);
        }
        if has_lower {
            for (node, parents) in (first..).zip(&mut self.lower) {
                *parents = graph.expander_parents(node);
            }
        }
    }

    /// Copies the labels of the parents in the layer below. Those within the layer may not be there yet; their places are
    /// only read, which brings them near. Nothing else is done in these loops, so that many reads are under way at a time.
    fn gather(&mut self, below: &[Label], labels: &[Label]) {
        if !below.is_empty() {
            let lower = self.lower.as_flattened();
            for (label, parent) in self.gathered.as_flattened_mut().iter_mut().zip(lower) {
                *label = below[index(*parent)];
            }
        }
        let within = self.within.as_flattened().iter();
        let touched = within.fold(0, |sum, parent| sum ^ labels[index(*parent)][0]);
        core::hint::black_box(touched);
    }
}
