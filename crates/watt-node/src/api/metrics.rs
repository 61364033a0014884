//! Prometheus metrics: every name with its help text, in this file.

use super::limits::Limits;
use crate::node::NodeStatus;
use std::sync::atomic::Ordering;
use watt_engine::EvidenceLog;

/// All metrics in the text format, version 0.0.4.
pub(super) fn text(status: &NodeStatus, evidence: &EvidenceLog, limits: &Limits) -> String {
    let mut page = Page(String::new());
    page.metric("watt_build_info", "gauge", "The program's version.");
    page.sample("watt_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.single(
        "watt_consensus_ledger_height",
        "gauge",
        "Height of the newest block.",
        status.height,
    );
    page.single(
        "watt_consensus_close_time_ms",
        "gauge",
        "Close time of the newest block, in milliseconds since the Unix epoch.",
        status.close_time,
    );
    page.single(
        "watt_consensus_behind_blocks",
        "gauge",
        "Blocks that a peer is known to have and this node has not.",
        status.behind.saturating_sub(status.height),
    );
    page.single(
        "watt_consensus_validator",
        "gauge",
        "1 if this node votes.",
        u64::from(status.is_validator),
    );
    page.metric(
        "watt_consensus_evidence_total",
        "counter",
        "Pieces of evidence against validators that contradicted themselves, by voting key.",
    );
    for (node, total) in evidence.nodes() {
        page.sample(
            "watt_consensus_evidence_total",
            &[("node", &node.to_string())],
            total,
        );
    }
    page.single(
        "watt_p2p_connections",
        "gauge",
        "Connected peers.",
        count(status.peers),
    );
    page.single(
        "watt_pool_transactions",
        "gauge",
        "Transactions waiting for a block.",
        count(status.pool_transactions),
    );
    page.metric(
        "watt_refused_total",
        "counter",
        "Messages and transactions refused since the start, by reason.",
    );
    for (reason, n) in &status.refused {
        page.sample("watt_refused_total", &[("reason", reason)], *n);
    }
    page.metric(
        "watt_loop_microseconds",
        "gauge",
        "What one step of the loop took since the start, that by the processor's own time, and what lay between a record of consensus \
         and the message after it.",
    );
    let pace = [
        ("step", status.pace.step),
        ("step_own", status.pace.step_own),
        ("persist_to_send", status.pace.persist_to_send),
    ];
    for (what, taken) in pace {
        for (quantile, us) in [("0.5", taken.p50_us), ("0.99", taken.p99_us), ("1", taken.max_us)] {
            page.sample(
                "watt_loop_microseconds",
                &[("what", what), ("quantile", quantile)],
                us,
            );
        }
    }
    page.metric(
        "watt_http_requests_total",
        "counter",
        "Requests to the public listener, by result.",
    );
    for (result, counter) in [("answered", &limits.answered), ("refused", &limits.refused)] {
        page.sample(
            "watt_http_requests_total",
            &[("result", result)],
            counter.load(Ordering::Relaxed),
        );
    }
    page.0
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

struct Page(String);

impl Page {
    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value:?}"))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        self.0.push_str(&format!("{name}{labels} {value}\n"));
    }
}
