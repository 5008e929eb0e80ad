//! Work shared among threads.

/// Calls `work` with 0, 1, … on as many threads. Each has its share of the cores to itself: with a
/// worker a core, nothing inside is split further, which pays for models whose matrices are small.
pub(crate) fn in_parallel<R: Send>(workers: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    if workers == 1 {
        return vec![work(0)];
    }
    let cores = rayon::current_num_threads().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build();
                scope.spawn(move || match pool {
                    Ok(pool) => pool.install(|| work(worker)),
                    Err(_) => work(worker), // no more threads: the common pool then
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    })
}
