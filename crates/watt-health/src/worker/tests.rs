//! The search as a process would run it.

use super::*;
use crate::analysis::{Analysis, Intersection};

const MOBILECOIN: &str = include_str!("../../tests/data/mobilecoin-2021-10-22.json");

/// Every line is a finding by itself, so that of a worker that is killed everything is kept but the line it was writing.
#[test]
fn findings_are_lines() {
    let mut output = Vec::new();
    work(MOBILECOIN.as_bytes(), &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    let findings: Vec<_> = text.lines().map(|line| read_line(line).unwrap()).collect();
    let mut analysis = Analysis::default();
    for finding in findings {
        analysis.add(finding);
    }
    assert!(analysis.is_complete());

    let mut torn = Analysis::default();
    let (first, rest) = text.split_once('\n').unwrap();
    torn.add(read_line(first).unwrap());
    assert_eq!(read_line(&rest[..rest.len() / 3]), None);
    assert_eq!(torn.intersection, Intersection::Yes);
    assert_eq!(torn.blocking, None);
    assert!(!torn.is_complete());
}

#[test]
fn findings_of_every_kind_survive_their_line() {
    let sets = crate::Sets {
        smallest: 1,
        example: vec!["a\nb".to_owned()],
        count: u64::MAX,
    };
    let findings = [
        Finding::Intersection(Intersection::Yes),
        Finding::Intersection(Intersection::NoQuorum),
        Finding::Intersection(Intersection::No {
            quorums: [vec!["a".to_owned()], vec!["b".to_owned()]],
        }),
        Finding::Blocking(sets.clone()),
        Finding::Splitting(sets),
        Finding::TopTier {
            nodes: vec!["a".to_owned()],
        },
    ];
    for finding in findings {
        let line = serde_json::to_string(&finding).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(read_line(&line), Some(finding));
    }
}

#[test]
fn a_bad_job_is_refused() {
    for job in ["", "[]", "not JSON"] {
        assert!(matches!(work(job.as_bytes(), Vec::new()), Err(WorkError::Job(_))));
    }
    let long = std::io::repeat(b' ');
    assert!(matches!(
        work(long, Vec::new()),
        Err(WorkError::Job(crate::InvalidSnapshot::TooLong))
    ));
}

/// Nobody reads any more: the worker ends instead of searching on.
#[test]
fn a_broken_pipe_ends_it() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert!(matches!(
        work(MOBILECOIN.as_bytes(), Closed),
        Err(WorkError::Pipe(_))
    ));
}
