//! Asking several for the same: one more is begun whenever one fails or keeps silent for a moment, so that a dead one costs a
//! moment and not its whole patience.

use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;

/// How long those who were asked may be silent before more are asked.
pub(super) const SILENCE: Duration = Duration::from_millis(300);

/// Candidates in the order in which they are asked.
pub(super) struct Staggered<F: Future> {
    waiting: VecDeque<F>,
    running: FuturesUnordered<F>,
    silence: Duration,
}

impl<F: Future> Staggered<F> {
    pub(super) fn new(candidates: impl IntoIterator<Item = F>, silence: Duration) -> Self {
        Self {
            waiting: candidates.into_iter().collect(),
            running: FuturesUnordered::new(),
            silence,
        }
    }

    /// The next answer, good or bad, while `wanted` are still needed: as many are being asked at any time, and as many more after
    /// every silence. `None` when all have answered.
    pub(super) async fn next(&mut self, wanted: usize) -> Option<F::Output> {
        let missing = wanted.saturating_sub(self.running.len());
        self.begin(missing);
        loop {
            if self.waiting.is_empty() {
                return self.running.next().await;
            }
            match timeout(self.silence, self.running.next()).await {
                Ok(Some(answer)) => return Some(answer),
                Ok(None) | Err(_) => self.begin(wanted.max(1)),
            }
        }
    }

    /// Candidates that were asked and have not answered: the first of those that are left.
    pub(super) fn n_unheard(&self) -> usize {
        self.running.len()
    }

    fn begin(&mut self, n: usize) {
        let n = n.min(self.waiting.len());
        self.running.extend(self.waiting.drain(..n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::future::{pending, ready};

    /// Those who never answer do not keep the others from being asked; nobody is asked who is not needed.
    #[tokio::test]
    async fn silent_ones_are_passed_over() {
        let silent = || pending::<u8>().boxed();
        let candidates = [
            silent(),
            silent(),
            ready(1).boxed(),
            silent(),
            ready(2).boxed(),
            ready(3).boxed(),
        ];
        let mut answers = Staggered::new(candidates, Duration::ZERO);
        assert_eq!(answers.next(2).await, Some(1));
        assert_eq!(answers.next(1).await, Some(2));
        assert_eq!(answers.waiting.len() + answers.running.len(), 4);
    }

    /// When all have failed there is an end.
    #[tokio::test]
    async fn the_last_answer_is_followed_by_none() {
        let mut answers = Staggered::new([ready(1), ready(2)], SILENCE);
        assert_eq!(answers.next(1).await, Some(1));
        assert_eq!(answers.next(1).await, Some(2));
        assert_eq!(answers.next(1).await, None);
    }
}
