//! Showing a group of a share, for a dispute (`docs/spec/ledger.md` 9.10): from the copy as it came, or else from the replica.

use super::scrub::Key;
use super::{Jobs, slots};
use anyhow::Context as _;
use watt_light::SlotRef;
use watt_light::operation::ShownGroup;
use watt_primitives::slot_tree::{GROUP_BYTES, group_digest, group_len, path};
use watt_primitives::{BoundedBytes, BoundedVec, Hash, codec};

impl Jobs {
    pub(super) fn show_group(&self, slot: SlotRef, group: u32) -> anyhow::Result<Vec<u8>> {
        let SlotRef { deal, slot: number } = slot;
        let info = self.pieces.info(deal, number);
        let info = info.context("the share is not on this disk")?;
        let groups = self.pieces.outboard(deal, number)?;
        let index = usize::try_from(group)?;
        let digest = *groups.get(index).context("the share has no such group")?;
        let n_groups = u64::try_from(groups.len())?;
        let is_it = |bytes: &[u8]| group_digest(group.into(), n_groups, bytes) == digest;

        let offset = u64::from(group).saturating_mul(u64::try_from(GROUP_BYTES)?);
        let len = usize::try_from(group_len(info.len, group.into()))?;
        // A copy that is cold or damaged leaves the other one.
        let hot = self.pieces.read(deal, number, offset, len).ok();
        let bytes = match hot.filter(|bytes| is_it(bytes)) {
            Some(bytes) => bytes,
            None => self.unsealed(slot, offset, len)?,
        };
        anyhow::ensure!(is_it(&bytes), "this part of the share is damaged in all copies");
        encode(bytes, &groups, index)
    }

    /// Bytes of a share out of the replica that it was sealed into. Nothing is written: the rest stays as it lies.
    fn unsealed(&self, slot: SlotRef, offset: u64, len: usize) -> anyhow::Result<Vec<u8>> {
        for (sector, _) in self.replicas.list() {
            let Ok(job) = self.sealed_job(sector) else {
                continue;
            };
            let lies =
                slots(&job.pieces).find(|(deal, number, ..)| (*deal, *number) == (slot.deal, slot.slot));
            let Some((_, _, begin, _)) = lies else { continue };
            let table = self.table(&job)?;
            let at = begin.saturating_add(offset);
            let mut bytes = self.replicas.read(sector, at, len)?;
            Key::of(self, &job, &table).apply(at, &mut bytes)?;
            return Ok(bytes);
        }
        anyhow::bail!("the share lies in no replica on this disk")
    }
}

fn encode(bytes: Vec<u8>, groups: &[Hash], index: usize) -> anyhow::Result<Vec<u8>> {
    let path = path(groups, index).context("the share has no such group")?;
    let shown = ShownGroup {
        bytes: BoundedBytes::new(bytes).map_err(|_| anyhow::anyhow!("a group is longer than 16 KiB"))?,
        path: BoundedVec::new(path).map_err(|_| anyhow::anyhow!("the share has too many groups"))?,
    };
    Ok(codec::encode(&shown))
}
