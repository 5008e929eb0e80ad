//! RAPL: counters of the energy that the packages of a CPU have taken, in microjoules, as Linux shows them
//! (`Documentation/power/powercap/powercap.rst`). They wrap around, and since Linux 5.10 only root may read them; most virtual machines
//! have none.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

/// Where the counters are.
pub const FOLDER: &str = "/sys/class/powercap";

/// How often they are read when nobody asks: one that counts to 262 kJ wraps after nine minutes at 500 W.
const EVERY: Duration = Duration::from_secs(30);

/// The packages of this machine.
#[derive(Debug)]
pub struct Rapl {
    packages: Arc<Mutex<Vec<Package>>>,
    /// Dropped to end the thread that reads.
    _ends: Sender<()>,
}

/// One counter.
#[derive(Debug)]
struct Package {
    path: PathBuf,
    /// The value after which it begins at 0, in microjoules.
    range: u64,
    last: u64,
    /// Microjoules since the beginning.
    total: u64,
}

impl Rapl {
    /// Begins to count; `None` where there are no counters below `folder` that may be read.
    pub fn begin(folder: &Path) -> Option<Self> {
        let packages = found(folder);
        if packages.is_empty() {
            return None;
        }
        let packages = Arc::new(Mutex::new(packages));
        let (ends, ended) = channel();
        let read = packages.clone();
        let thread = thread::Builder::new().name("energy".to_owned());
        let started = thread.spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                look(&read);
            }
        });
        started.ok()?;
        Some(Self {
            packages,
            _ends: ends,
        })
    }

    /// Joules since the beginning, over all packages.
    pub fn joules(&self) -> f64 {
        look(&self.packages)
    }
}

/// Reads all counters; the sum in joules.
fn look(packages: &Mutex<Vec<Package>>) -> f64 {
    let mut packages = packages.lock().unwrap_or_else(PoisonError::into_inner);
    let mut total = 0;
    for package in packages.iter_mut() {
        package.look();
        total += package.total;
    }
    total as f64 / 1e6
}

impl Package {
    fn open(folder: &Path) -> Option<Self> {
        // `psys` counts what the packages count, and more.
        let name = fs::read_to_string(folder.join("name")).ok()?;
        if !name.starts_with("package") {
            return None;
        }
        let path = folder.join("energy_uj");
        Some(Self {
            range: number(&folder.join("max_energy_range_uj"))?,
            last: number(&path)?,
            path,
            total: 0,
        })
    }

    fn look(&mut self) {
        // One that cannot be read now is read later: nothing is lost unless it wraps twice.
        let Some(now) = number(&self.path) else {
            return;
        };
        self.total += match now.checked_sub(self.last) {
            Some(more) => more,
            None => self.range.saturating_sub(self.last) + now,
        };
        self.last = now;
    }
}

/// The packages below `folder`: `intel-rapl:0` and so on, which AMD's have, too. Their parts (`intel-rapl:0:0`) are in them.
fn found(folder: &Path) -> Vec<Package> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let index = name.strip_prefix("intel-rapl:");
        if index.is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit())) {
            packages.extend(Package::open(&entry.path()));
        }
    }
    packages
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, name: &str, is: &str, energy: u64) -> PathBuf {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("name"), is).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "1000000000\n").unwrap();
        let path = folder.join("energy_uj");
        fs::write(&path, energy.to_string()).unwrap();
        path
    }

    #[test]
    fn packages_are_summed_and_counters_wrap() {
        let dir = tempfile::tempdir().unwrap();
        let first = package(dir.path(), "intel-rapl:0", "package-0\n", 999_000_000);
        let second = package(dir.path(), "intel-rapl:1", "package-1\n", 5_000_000);
        package(dir.path(), "intel-rapl:0:0", "core\n", 1);
        let psys = package(dir.path(), "intel-rapl:2", "psys\n", 1);
        let rapl = Rapl::begin(dir.path()).unwrap();
        assert_eq!(rapl.joules(), 0.0);
        fs::write(&first, "500000").unwrap(); // 1 J to the end, 0.5 J after
        fs::write(&second, "7000000").unwrap();
        fs::write(&psys, "90000000").unwrap();
        assert_eq!(rapl.joules(), 3.5);
        fs::write(&first, "no number").unwrap();
        assert_eq!(rapl.joules(), 3.5);
        fs::write(&first, "1500000").unwrap();
        assert_eq!(rapl.joules(), 4.5);
    }

    #[test]
    fn where_nothing_may_be_read_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Rapl::begin(dir.path()).is_none());
        assert!(Rapl::begin(&dir.path().join("missing")).is_none());
        let energy = package(dir.path(), "intel-rapl:0", "package-0", 1);
        fs::write(energy, "").unwrap();
        assert!(Rapl::begin(dir.path()).is_none());
    }
}
