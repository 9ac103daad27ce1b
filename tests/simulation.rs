//! The deciding core in a simulated world: clocks that jump, processes, a database that lies, a
//! disk that fills up, kills at any moment. A ledger computes by itself what should happen
//! (`simulation/ledger`); every difference is a failure.
//!
//! `SIMULATION_SEEDS=5000` runs more worlds, `SIMULATION_FROM=256` leaves out those before,
//! `SIMULATION_STEPS=100000` makes them longer, `SIMULATION_SEED=17` repeats one and tells its last
//! steps.

// In a test a panic is the answer, and casts are of small numbers.
#![allow(clippy::unwrap_used)]

#[path = "simulation/mod.rs"]
mod simulation;

use simulation::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SEEDS: u64 = 256;
const STEPS: u64 = 3_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: write a whole number")))
}

/// Runs one world. Returns how many processes were started, or what went wrong.
fn run(seed: u64, steps: u64, tell: bool) -> Result<u64, String> {
    let mut world = World::new(seed, tell);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            world.step();
        }
        world.settle();
    }));
    for line in world.story.iter().flatten() {
        println!("{line}");
    }
    let text = |what: Box<dyn std::any::Any + Send>| match what.downcast::<String>() {
        Ok(text) => *text,
        Err(what) => what.downcast::<&str>().map_or_else(|_| "?".into(), |text| (*text).into()),
    };
    result.map(|()| world.launches).map_err(text)
}

#[test]
fn what_should_happen_happens() {
    let steps = setting("SIMULATION_STEPS").unwrap_or(STEPS);
    if let Some(seed) = setting("SIMULATION_SEED") {
        run(seed, steps, true).unwrap();
        return;
    }
    let seeds = setting("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = setting("SIMULATION_FROM").unwrap_or(0);
    let next = AtomicU64::new(first);
    let (launches, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let began = Instant::now();
    // Of panics in the worlds only the first is to be read, and it is told below.
    std::panic::set_hook(Box::new(|_| {}));
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match run(seed, steps, false) {
                Ok(count) => launches.fetch_add(count, Ordering::Relaxed),
                Err(_) => failed.fetch_min(seed, Ordering::Relaxed),
            };
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let _ = std::panic::take_hook();
    let seed = failed.into_inner();
    if seed < seeds {
        let why = run(seed, steps, true).err().unwrap_or_else(|| "it passes now".into());
        panic!("caught at seed {seed} (SIMULATION_SEED={seed} repeats it): {why}");
    }
    let seconds = began.elapsed().as_secs_f64();
    let worlds = seeds.saturating_sub(first);
    println!(
        "{worlds} worlds of {steps} steps, {} launches, {seconds:.1} s",
        launches.into_inner()
    );
}
