//! What an NVIDIA GPU takes, sampled every second by `nvidia-smi` and added up.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

/// The program.
const PROGRAM: &str = "nvidia-smi";

/// A sample counts for at most so many seconds: when none came for longer, nobody knows what was taken meanwhile.
const LONGEST_S: f64 = 5.0;

/// The GPU of this machine.
#[derive(Debug)]
pub struct Smi {
    sampler: Child,
    sum: Arc<Mutex<Sum>>,
}

/// Energy so far.
#[derive(Debug, Default)]
struct Sum {
    joules: f64,
    /// The last sample, in watts.
    last: Option<f64>,
}

impl Smi {
    /// Begins to sample; `None` where there is no such program, or it does not know exactly one GPU: of several nothing says
    /// which one computes.
    pub fn begin() -> Option<Self> {
        let named = Command::new(PROGRAM)
            .args(["--query-gpu=power.draw", "--format=csv,noheader,nounits"])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        if !named.status.success() || !knows_one(&String::from_utf8_lossy(&named.stdout)) {
            return None;
        }
        let mut sampler = Command::new(PROGRAM)
            .args(["--query-gpu=power.draw", "--format=csv,noheader,nounits"])
            .arg("--loop-ms=1000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let output = sampler.stdout.take()?;
        let sum = Arc::new(Mutex::new(Sum::default()));
        let adds = sum.clone();
        let reader = thread::Builder::new().name("energy".to_owned());
        // It ends with the program that it reads from.
        if reader.spawn(move || add_up(output, &adds)).is_err() {
            let _ = sampler.kill();
            return None;
        }
        Some(Self { sampler, sum })
    }

    /// Joules since the beginning.
    pub fn joules(&self) -> f64 {
        let sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.joules
    }
}

impl Drop for Smi {
    fn drop(&mut self) {
        let _ = self.sampler.kill();
        let _ = self.sampler.wait();
    }
}

/// Whether the program named the power of exactly one GPU.
fn knows_one(output: &str) -> bool {
    let mut lines = output.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().and_then(watts);
    first.is_some() && lines.next().is_none()
}

/// Adds the samples up as they come.
fn add_up(output: ChildStdout, sum: &Mutex<Sum>) {
    let mut before = Instant::now();
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        let seconds = before.elapsed().as_secs_f64();
        before = Instant::now();
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.add(watts(&line), seconds);
    }
}

impl Sum {
    /// A sample, so many seconds after the one before: what lies between them is their mean.
    fn add(&mut self, watts: Option<f64>, seconds: f64) {
        if let (Some(before), Some(now)) = (self.last, watts) {
            self.joules += (before + now) / 2.0 * seconds.min(LONGEST_S);
        }
        self.last = watts;
    }
}

/// A line of the program in watts; `[N/A]` and the like are none.
fn watts(line: &str) -> Option<f64> {
    let watts: f64 = line.trim().parse().ok()?;
    (watts >= 0.0 && watts.is_finite()).then_some(watts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_up_by_their_means() {
        let mut sum = Sum::default();
        sum.add(watts("100.00"), 1.0);
        assert_eq!(sum.joules, 0.0);
        sum.add(watts(" 200.50 "), 2.0);
        assert_eq!(sum.joules, 300.5);
        // What nobody saw is not counted, and a pause in sampling only in part.
        sum.add(watts("[N/A]"), 1.0);
        sum.add(watts("100"), 1.0);
        assert_eq!(sum.joules, 300.5);
        sum.add(watts("100"), 600.0);
        assert_eq!(sum.joules, 800.5);
    }

    #[test]
    fn one_gpu_is_measured_and_several_are_not() {
        assert!(knows_one("68.51\n"));
        assert!(!knows_one("68.51\n70.02\n"));
        assert!(!knows_one("[N/A]\n") && !knows_one("") && !knows_one("No devices were found\n"));
    }
}
