//! Seeds, many at once, on every processor there is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::sim::{self, Figures, Outcome};

/// Seeds of one test run, when nobody says otherwise.
const SEEDS: u64 = 10_000;
/// Failing seeds that are told of.
const MAX_TOLD: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A seed's world; a panic in it is a breach.
fn outcome(seed: u64, traced: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| sim::run(seed, traced))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            breach: Some(said.unwrap_or_else(|| "a panic".into())),
            trace: Vec::new(),
            digest: 0,
            figures: Figures::default(),
        }
    })
}

/// `RINGFENCE_SIM_SEEDS`, `RINGFENCE_SIM_START` and `RINGFENCE_SIM_REPORT` are how `cargo xtask sim` says what to do.
#[test]
fn what_must_hold_does_in_every_simulated_world() {
    let (start, seeds) = (number("RINGFENCE_SIM_START").unwrap_or(0), number("RINGFENCE_SIM_SEEDS").unwrap_or(SEEDS));
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::<(u64, String)>::new()));
    let total = Mutex::new(Figures::default());
    let began = Instant::now();
    let work = || {
        let mut sum = Figures::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= seeds || failed.lock().unwrap().len() >= MAX_TOLD {
                break;
            }
            if index % 10_000 == 0 && index > 0 {
                eprintln!("{index} seeds, {:.0} a second", index as f64 / began.elapsed().as_secs_f64());
            }
            let outcome = outcome(start + index, false);
            sum.add(&outcome.figures);
            if let Some(breach) = outcome.breach {
                failed.lock().unwrap().push((start + index, breach));
            }
        }
        total.lock().unwrap().add(&sum);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));

    let (seconds, figures) = (began.elapsed().as_secs_f64(), *total.lock().unwrap());
    let ran = next.load(Ordering::Relaxed).min(seeds);
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let mut told = Vec::new();
    for (seed, breach) in &failed {
        // The same seed tells the same story, aloud.
        let again = outcome(*seed, true);
        eprintln!("seed {seed}: {breach}\n  {}", again.trace.join("\n  "));
        told.push(json!({ "seed": seed, "breach": breach, "trace": again.trace }));
    }
    if let Ok(path) = std::env::var("RINGFENCE_SIM_REPORT") {
        let report = json!({
            "start": start,
            "seeds": ran,
            "seconds": seconds,
            "seeds_per_second": ran as f64 / seconds,
            "workspaces": figures.workspaces,
            "nodes": figures.nodes,
            "nodes_that_got_ready": figures.ready,
            "alarms": figures.alarms,
            "batches": figures.batches,
            "crashes": figures.crashes,
            "faults": figures.faults,
            "kept_warm": figures.warm,
            "given_up": figures.forgotten,
            "refused": figures.refused,
            "failed": told,
        });
        std::fs::write(path, report.to_string()).unwrap();
    }
    eprintln!("{ran} seeds in {seconds:.1} s, {:.0} a second: {figures:?}", ran as f64 / seconds);
    assert!(failed.is_empty(), "seeds that failed: {:?}", failed.iter().map(|(seed, _)| seed).collect::<Vec<_>>());
    // Worlds in which nothing happens prove nothing. A few may be quiet.
    let told_enough =
        ran < 1000 || (figures.ready * 4 > figures.nodes && figures.crashes > ran / 2 && figures.faults > ran);
    assert!(told_enough, "{figures:?}");
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in 0..40 {
        let (first, second, traced) = (outcome(seed, false), outcome(seed, false), outcome(seed, true));
        assert_eq!((first.digest, first.breach), (second.digest, second.breach), "seed {seed}");
        assert_eq!(first.digest, traced.digest, "seed {seed} tells another story when it is listened to");
    }
    assert_ne!(outcome(1, false).digest, outcome(2, false).digest);
}
